"""The judge's part of a benchmark: its estimate, replies, official files and figures."""

import datetime
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from actors.cluster import connect
from actors.llm.judge import judges
from pipelines.parts.benchmark_edits import lay_out_sources
from v4e.config import Config
from v4e.evaluation.suites.endpoint import endpoint
from v4e.evaluation.suites.estimate import estimate
from v4e.evaluation.suites.fake import fake
from v4e.evaluation.suites.generation import SuiteModel
from v4e.evaluation.suites.identity import identity, title
from v4e.evaluation.suites.items import Ask, Question, Reply, Rubric, Suite
from v4e.evaluation.suites.judging import SCORED, answered_by, judge_items, read_records, second_tries
from v4e.evaluation.suites.places import folder, scores_uri
from v4e.evaluation.suites.prompts import kinds_of
from v4e.evaluation.suites.rubrics import rubric
from v4e.evaluation.suites.scores import item_scores, summarize, write_official
from v4e.files.manifest import stage
from v4e.files.progress import bar, console, plan, say
from v4e.files.uri import exists, join, read_json, write_json_atomic


def check(config: Config, suites: Sequence[str], chosen: Sequence[SuiteModel]) -> None:
    """Refuses a judge that could not answer later.

    Raises:
        FileNotFoundError: its prompts, or its folder, are not there.
        ValueError: its prompts are not the official ones, or its key is missing.
    """
    for name in suites:
        rubric(name, config.bench, config.judge)
    if all(exists(scores_uri(config, name, model.name)) for name in suites for model in chosen):
        return  # perhaps there is no question left
    judge = config.judge
    if judge.kind == "openai":
        endpoint(judge)
    if judge.kind == "vllm":
        for key, place, file in (("model", judge.model, "config.json"), ("lora", judge.lora, "adapter_config.json")):
            if place.startswith(("/", ".")) and not Path(place, file).is_file():
                raise FileNotFoundError(f"judge.{key}={place} holds no {file}: expected its folder, or a hub id")


def judge_all(config: Config, suites: dict[str, list[Suite]], chosen: Sequence[SuiteModel]) -> None:
    """Estimates the cost, judges, and writes the official files and scores.json of every model.

    Raises:
        FileNotFoundError: a model has no edits of a suite.
        ValueError: the estimate is above ``judge.max_cost``.
    """
    judge = config.judge
    rubrics = {name: rubric(name, config.bench, judge) for name in suites}
    jobs = [(name, model, suite) for name, found in suites.items() for model, suite in zip(chosen, found, strict=True)]
    for name, model, suite in jobs:
        if not any(Path(item.edited).exists() for item in suite.items):
            raise FileNotFoundError(
                f"{folder(config, name, model.name)} holds none of the {len(suite.items)} edits, as "
                f"{suite.items[0].edited}: run with generate in bench.stages, name them in bench.edits, or lay them "
                "there yourself"
            )
        lay_out_sources(config, name, suite)  # those of another program's edits are not there
    questions, sample = _to_ask(config, jobs, rubrics)
    expected = estimate(sample, questions, judge)
    plan(
        "judge",
        {
            "who": f"{title(identity(judge), judge.model)} ({judge.kind}), {judge.backbone}",
            "prompts": f"{config.bench.rubrics}",
            **{f"sha256 of {prompt}": h for r in rubrics.values() for prompt, h in r.hashes.items()},
            "to do": str(expected),
        },
    )
    if judge.max_cost and (expected.dollars or 0) > judge.max_cost:
        raise ValueError(
            f"judging is estimated at ${expected.dollars:.2f}, above judge.max_cost={judge.max_cost}: raise it, or "
            "judge fewer models, suites or items (bench.limit)"
        )
    ask = judge_of(config)
    with stage(config.run.dir, "benchmark: judge"):
        for name, model, suite in jobs:
            _judge(config, name, model, suite, rubrics[name], ask)


def _to_ask(
    config: Config, jobs: Sequence[tuple[str, SuiteModel, Suite]], rubrics: dict[str, Rubric]
) -> tuple[int, list[Question]]:
    """Returns the approximate number of questions without a reply, and some of them, for the estimate."""
    questions, sample = 0, []
    for name, model, suite in jobs:
        kinds = rubrics[name].kinds
        place = Path(scores_uri(config, name, model.name)).parent
        there = [item for item in suite.items if Path(item.source).exists() and Path(item.edited).exists()]
        records = [r for path in place.glob("replies*.jsonl") for r in read_records(path)]
        replied = {r["id"] for r in records if r["reply"] and r.get("by") == identity(config.judge)}
        questions += max(0, sum(len(kinds_of(item, kinds)) for item in there) - len(replied))
        for item in there[:2]:
            try:
                sample += [rubrics[name].build(item, kind) for kind in kinds_of(item, kinds)]
            except OSError:  # a damaged image costs nothing
                continue
    return questions, sample


def judge_of(config: Config) -> Ask:
    """Returns the judge of the config, which starts or connects with the first question."""
    lock, started = threading.Lock(), []

    def ask(questions: Sequence[Question], attempt: int) -> list[Reply]:
        with lock:
            if not started:
                started.append(_start(config))
        return started[0](questions, attempt)

    return ask


def _start(config: Config) -> Ask:
    if config.judge.kind == "fake":
        return fake
    if config.judge.kind == "openai":
        return endpoint(config.judge)
    connect()
    return judges(config.judge)


def _judge(config: Config, name: str, model: SuiteModel, suite: Suite, scheme: Rubric, ask: Ask) -> None:
    bench, judge = config.bench, config.judge
    place = folder(config, name, model.name)
    mine, uri = join(place, judge.backbone), scores_uri(config, name, model.name)
    before = Path(mine, "replies.jsonl").read_bytes() if exists(join(mine, "replies.jsonl")) else b""
    asked = sum(len(kinds_of(item, scheme.kinds)) for item in suite.items)
    with bar(f"{name} of {model.name}", asked, unit="replies") as advance:
        records = judge_items(suite.items, scheme, judge, ask, mine, advance)
    _tell_failures(records)
    scores = item_scores(suite, scheme, records)
    write_official(suite, scores, place, model.name, judge.backbone)
    same = exists(uri) and before == Path(mine, "replies.jsonl").read_bytes()
    result = {
        "suite": name,
        "model": model.name,
        "judge": judge.model if judge.kind != "fake" else "fake",
        "by": identity(judge),
        "answered_by": answered_by(records),
        "passes": bench.passes,
        "second_tries": second_tries(records),
        "date": read_json(uri)["date"] if same else datetime.date.today().isoformat(),  # of the newest reply
        "rubrics": bench.rubrics,
        "prompts": scheme.hashes,
        "data": suite.hashes,
        "whole": suite.whole,
        "notes": list(suite.all_notes),
    }
    if name == "gedit":
        for language in bench.languages:
            result[language] = summarize(suite, scores, bench, judge, language=language).to_json()
            shared = summarize(suite, scores, bench, judge, language=language, intersection=True)
            result[f"{language} intersection"] = shared.to_json()
    else:
        result["all"] = summarize(suite, scores, bench, judge).to_json()
    result["items"] = [
        {
            "row": s.row,
            "key": s.item.key,
            "group": s.item.group,
            "language": s.item.language,
            "instruction": s.item.instruction,
            "source": s.item.source,
            "edited": s.item.edited,
            "values": s.values,
            "reasons": [r["reason"] or r["reply"] for r in s.replies],
        }
        for s in scores
    ]
    write_json_atomic(uri, result)
    show(result)


def _tell_failures(records: Sequence[dict]) -> None:
    """Says how many questions have no scores, and the commonest reason."""
    reasons = Counter(r["reason"] for r in records if r["status"] != SCORED)
    if reasons:
        [(reason, count)] = reasons.most_common(1)
        say(f"  {reasons.total()} of {len(records)} questions have no scores, {count} of them: {reason}")
        say("  judge.ask_failed=true asks again about those that failed")


def show(result: dict) -> None:
    """Prints the figures of one model on one suite: a table for each language or subset, which 80 columns hold."""
    for part, scored in result.items():
        if not (isinstance(scored, dict) and "macro" in scored):
            continue
        what = f"{result['suite']}{'' if part == 'all' else f' ({part})'}"
        view = Table(title=f"{what} of {result['model']}, judged by {result['judge']}", title_justify="left")
        view.add_column("")
        for axis in scored["macro"]:
            view.add_column(axis, justify="right")
        rows = scored["groups"] | {"overall (groups)": scored["macro"], "mean of items": scored["by_item"]}
        for label, cells in rows.items():
            shown = [f"{_number(m['value'])} ({m['n_scored']}/{m['n_total']})" for m in cells.values()]
            view.add_row(label, *shown)
        for label, key in (("95 % of overall", "interval"), ("95 %, judge alone", "judge_interval")):
            if any(scored[key].values()):
                view.add_row(label, *(_between(spread) for spread in scored[key].values()))
        console.print(view)
        for mark in scored["marks"]:
            say(f"  {part}: {'headline' if scored['headline'] is not None else 'no headline'}: {mark}")


def _between(spread: Sequence[float] | None) -> str:
    return f"{spread[0]:.3f} to {spread[1]:.3f}" if spread else "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
