"""The prompts of the judge: the official ones from the user's checkout, hash-checked, or our own for smoke runs."""

import hashlib
import json
from pathlib import Path

from v4e.config import Bench, Judge
from v4e.evaluation.suites import gedit, imgedit, rise_rubric
from v4e.evaluation.suites.items import Picture, Question, Rubric, SuiteItem, encode, open_image
from v4e.evaluation.suites.prompts import PROMPTS, again, check, digest, part, repeated, strings_of

VIE = "GEdit-Bench/viescore/vie_prompts.py"
UGE = "Benchmark/UGE/UGE_bench.py"
UGE_LINE = "Score: A number from 1 to 5.\n"  # the official prompt never asks for the line that its parser needs
EDITSCORE_RANGE = 25  # the editscore package's scale; its scores are brought back to 0 to 10
SCALE = 'Reply with one JSON object and nothing else: {"score": [A, B], "reasoning": "at most 20 words"}.'
OWN_SC = (
    "You compare a photograph (first image) with an edited version of it (second image). The edit was requested so: "
    "<instruction>\nGive two integers from 0 to 10. A: has the request been carried out? 0 is not at all, 10 is in "
    "full. B: has everything that the request does not mention stayed as it was? 0 is nothing, 10 is everything.\n"
)
OWN_PQ = (
    "You look at one image. Give two integers from 0 to 10. A: do light, shadow, perspective and proportions look "
    "natural? B: is the image free of seams, smears, noise and broken shapes? 0 is worst, 10 is best.\n"
)
OWN_THREE = (
    "You compare an image (first) with an edited version of it (second). The edit ({group}) was requested so: "
    "<edit_prompt>\nGive three integers from 1 (worst) to 5 (best) and reply with these lines and no other:\n"
    "Request: N\nSeamlessness: N\nRest unchanged: N\n"
)
OWN_ONE = (
    "You compare an image (first) with an edited version of it (second). The edit was requested so: <edit_prompt>\n"
    "Give one integer from 1 (worst) to 5 (best); at most 3 where anything else changed. Reply with this line only:\n"
    "Score: N\n"
)


def rubric(name: str, bench: Bench, judge: Judge) -> Rubric:
    """Returns the rubric of a suite.

    Raises:
        FileNotFoundError: the checkout has not the prompts.
        ValueError: they are not the official ones, and ``bench.rubrics`` is official.
    """
    if name == "gedit":
        return _gedit(bench, judge)
    if bench.rubrics == "editscore":
        raise ValueError("bench.rubrics=editscore scores GEdit-Bench: set bench.suites=gedit")
    if name == "rise":
        return rise_rubric.rubric(bench, judge)
    return _imgedit(name, bench, judge)


def _gedit(bench: Bench, judge: Judge) -> Rubric:
    hashes = {}
    scale = gedit.RANGE
    if bench.rubrics == "own":
        prompts = {"SC": OWN_SC + SCALE, "PQ": OWN_PQ + SCALE}
    elif bench.rubrics == "editscore":
        parts = strings_of(editscore_file())
        context = parts["_context_no_delimit_reasoning_first"]
        rules = {
            "SC": [parts["_prompts_0shot_two_image_edit_rule"], parts["_prompts_0shot_tie_rule_SC"]],
            "PQ": [parts["_prompts_0shot_rule_PQ"]],
        }
        # the package replaces the scale in the rule that scores, and in that alone
        prompts = {
            kind: "\n".join([context, *found[:-1], found[-1].replace("10", str(EDITSCORE_RANGE))])
            for kind, found in rules.items()
        }
        scale = EDITSCORE_RANGE
    else:
        file = Path(bench.gedit_code) / VIE
        if not bench.gedit_code or not file.is_file():
            raise FileNotFoundError(
                f"bench.gedit_code={bench.gedit_code}: no {VIE}; expected a checkout of stepfun-ai/Step1X-Edit, or set "
                "bench.rubrics=own for an unofficial smoke run"
            )
        parts = strings_of(file)
        context = part(parts, "_context_no_delimit", file)
        prompts = {
            "SC": "\n".join(
                [context, *(part(parts, f"_prompts_0shot_{p}", file) for p in ("two_image_edit_rule", "tie_rule_SC"))]
            ),
            "PQ": "\n".join([context, part(parts, "_prompts_0shot_rule_PQ", file)]),
        }
    for kind, text in prompts.items():
        hashes[f"gedit {kind}"] = digest(text)
    check(bench, hashes, "gedit_code")
    images_first = judge.order == "images_first"

    def build(item: SuiteItem, kind: str) -> Question:
        source = open_image(item.source)
        edited = open_image(item.edited).convert("RGB").resize(source.size)  # Pillow's default filter, as officially
        images = [source, edited] if kind.startswith("SC") else [edited]
        sampled = bench.rubrics == "editscore"
        return Question(
            text=prompts[kind[:2]].replace("<instruction>", item.instruction),
            pictures=tuple(encode(image, "png" if images_first else "jpeg") for image in images),
            images_first=images_first,
            max_tokens=judge.max_tokens or (512 if images_first else 1400),
            seed=_seed(42 if sampled or images_first else None, again(kind)),  # the package's own seeds
            temperature=(0.7 if sampled else None) if judge.temperature < 0 else judge.temperature,
            again=again(kind),
        )

    def read(text: str, item: SuiteItem, kind: str) -> list[float] | None:
        scores = gedit.read_reply(text, scale)
        return [s * 10 / scale for s in scores] if scores and scale != gedit.RANGE else scores

    return Rubric(name=bench.rubrics, kinds=repeated(prompts, bench.passes), build=build, read=read, hashes=hashes)


def _seed(first: int | None, later: int) -> int | None:
    return None if first is None else first + later


def _imgedit(name: str, bench: Bench, judge: Judge) -> Rubric:
    if bench.rubrics == "own":
        texts = {g: OWN_THREE.replace("{group}", g) for g in imgedit.GROUPS} | {"uge": OWN_ONE}
        hashes = {f"own {name}": digest(json.dumps(texts, sort_keys=True))}
    elif name == "uge":
        file = imgedit.checkout_file(bench.imgedit_code, UGE)
        texts = {"uge": part(strings_of(file), "prompt", file)}
        hashes = {"uge": digest(texts["uge"])}
        texts["uge"] += UGE_LINE
    else:
        file = imgedit.checkout_file(bench.imgedit_code, PROMPTS)
        texts = _families(file)
        hashes = {PROMPTS: hashlib.sha256(file.read_bytes()).hexdigest()}
    check(bench, hashes, "imgedit_code")
    count = 1 if name == "uge" else 3
    images_first = judge.order == "images_first"

    def build(item: SuiteItem, kind: str) -> Question:
        if item.group not in texts:
            raise ValueError(f"{PROMPTS} has no prompt for edit_type {item.group!r}, which item {item.key} has")
        pictures = []
        for path in (item.source, item.edited):
            open_image(path)  # a damaged file would only puzzle the judge
            pictures.append(Picture(data=Path(path).read_bytes(), kind="png"))  # files as they are, always called PNG
        return Question(
            text=texts[item.group].replace("<edit_prompt>", item.instruction),
            pictures=tuple(pictures),
            images_first=images_first,
            max_tokens=judge.max_tokens,
            temperature=None if judge.temperature < 0 else judge.temperature,
            again=again(kind),
        )

    def read(text: str, item: SuiteItem, kind: str) -> list[float] | None:
        return imgedit.read_reply(text, count)

    kinds = repeated(("scores",), bench.passes)
    return Rubric(name=bench.rubrics, kinds=kinds, build=build, read=read, hashes=hashes)


def _families(file: Path) -> dict[str, str]:
    """prompts.json: family to prompt."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"bench.imgedit_code: {file} is no JSON ({error}): check it out again") from error
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise ValueError(f"bench.imgedit_code: {file}: expected a JSON object of {{edit_type: prompt}}")
    return found


def editscore_file() -> Path:
    """The prompts of the installed editscore package, which is not imported: that would load engines.

    Raises:
        FileNotFoundError: it is not installed.
    """
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        return Path(str(distribution("editscore").locate_file("editscore/vie_prompts.py")))
    except PackageNotFoundError:
        raise FileNotFoundError("bench.rubrics=editscore needs the package: pip install --no-deps editscore") from None
