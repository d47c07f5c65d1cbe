"""ImgEdit-Bench: items, replies, files and figures against independent readings of the official rules."""

import io
import json
import random
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.suites import config_of
from v4e.config import Bench, Judge
from v4e.evaluation.suites import imgedit
from v4e.evaluation.suites.items import Suite, SuiteItem
from v4e.evaluation.suites.places import folder, read
from v4e.evaluation.suites.rubrics import rubric
from v4e.evaluation.suites.scores import UGE_DEVIATION, ItemScore, summarize, write_official

REAL = Judge(kind="openai")


# Items


def test_items_are_those_of_the_checkout_and_images_those_of_the_tar(benchmarks, tmp_path):
    config = config_of(benchmarks, tmp_path)
    suite = read(config, "imgedit", "m")
    found = json.loads((benchmarks / "imgedit_code" / imgedit.ITEMS).read_text())
    assert [(i.key, i.group, i.instruction) for i in suite.items] == [
        (key, v["edit_type"], v["prompt"]) for key, v in found.items()
    ]
    assert suite.items[0].edited == f"{tmp_path}/bench/imgedit/m/{suite.items[0].key}.png"
    assert not suite.whole and "547185d" in suite.notes[0]
    assert imgedit.lay_out_sources(config.bench, "imgedit", suite.items, folder(config, "imgedit")) == []
    with tarfile.open(benchmarks / "imgedit" / "Benchmark.tar") as tar:
        for item in suite.items:
            inside = tar.extractfile(f"Benchmark/singleturn/{found[item.key]['id']}")
            assert inside and Path(item.source).read_bytes() == inside.read()


def test_a_hostile_tar_and_hostile_keys_write_nothing_outside(benchmarks, tmp_path):
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        for name in ("../../evil.png", "/abs.png"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    bench = Bench(imgedit=str(tmp_path / "t.tar"))
    item = SuiteItem(key="1", group="add", instruction="x", source=f"{tmp_path}/save/sources/evil.png", edited="e")
    imgedit.lay_out_sources(bench, "imgedit", [item], f"{tmp_path}/save")
    assert {p.name for p in tmp_path.rglob("*") if p.is_file()} <= {"t.tar", "evil.png"}
    assert not (tmp_path.parent / "evil.png").exists()
    for bad in ("../x", "/x", "a/../../x"):
        with pytest.raises(ValueError, match="leads out"):
            imgedit.safe(bad)


def test_what_is_no_tar_is_refused(tmp_path):
    (tmp_path / "t.tar").write_text("no tar")
    item = SuiteItem(key="1", group="add", instruction="x", source=f"{tmp_path}/save/sources/a.png", edited="e")
    with pytest.raises(ValueError, match="is no tar archive"):
        imgedit.lay_out_sources(Bench(imgedit=str(tmp_path / "t.tar")), "imgedit", [item], f"{tmp_path}/save")


def test_an_image_that_is_there_twice_is_taken_from_the_suite_s_own_folder_or_refused():
    files = {"Benchmark/singleturn/a.png": 0, "Benchmark/hard/a.png": 0, "x/a.png": 0}
    assert imgedit.where(files, "a.png", "hard") == "Benchmark/hard/a.png"
    assert imgedit.where(files, "b.png", "hard") == ""
    with pytest.raises(ValueError, match="2 times"):
        imgedit.where({"hard/x/a.png": 0, "hard/a.png": 0}, "a.png", "hard")


def test_turns_feed_each_other(benchmarks, tmp_path):
    chains = imgedit.read_turns(config_of(benchmarks, tmp_path).bench, "save", "m")
    assert len(chains) == 2 and all(len(chain) == 3 for chain in chains)
    first, second, third = chains[0]
    assert (
        first.source == "save/sources/turns-0.png" and second.source == first.edited and third.source == second.edited
    )
    assert third.edited == "save/m/content_memory/1/turn3.png"


def test_unknown_families_and_prompts_of_forks_are_refused(benchmarks, tmp_path):
    code = str(benchmarks / "imgedit_code")
    for name, words in (("imgedit", "prompts.json"), ("uge", "uge")):
        with pytest.raises(ValueError, match=words):
            rubric(name, Bench(imgedit_code=code), REAL)
    place = tmp_path / imgedit.ITEMS
    place.parent.mkdir(parents=True)
    place.write_text('{"1": {"id": "a.png", "prompt": "x", "edit_type": "alter"}}')
    with pytest.raises(ValueError, match="'alter'"):
        imgedit.read(Bench(imgedit_code=str(tmp_path)), "imgedit", "save", "m")


# Replies


@pytest.mark.parametrize(
    ("reply", "scores"),
    [
        ("Brief reasoning: ok.\nPrompt Compliance: 4\nVisual Naturalness: 3\nPhysical: 5", [4, 3, 5]),
        ("  **A**: 4  \nB: 3\nC: 5\n", [4, 3, 5]),
        ("A: 4.\nB: 3\nC: 5", None),
        ("A: 4/5\nB: 3\nC: 5", None),
        ("A:4\nB: 3\nC: 5", None),
        ("A: 4\nB: 3", None),
        ("A: 4\nB: 3\nC: 5\nD: 5", None),
        ("A: 4\nB: 3\nC: 6", None),
        ("A: 4\nB: 3\nC: 0", None),
        ("A: 4\nB: 3\nC: ²", None),
        ("", None),
    ],
)
def test_replies(reply, scores):
    assert imgedit.read_reply(reply, 3) == scores


# Files and figures, against a reading of the official two steps in plain Python


def step1(entry: str) -> float | None:
    numbers = []
    for line in entry.splitlines():
        halves = line.strip().split(": ")
        if len(halves) == 2 and halves[1].isdigit():
            numbers.append(int(halves[1]))
    return round(sum(numbers) / len(numbers), 2) if numbers else None


def step2(averages: dict[str, float], meta: dict[str, str]) -> dict[str, float]:
    types: dict[str, list[float]] = {}
    for key, value in averages.items():
        types.setdefault(meta[key], []).append(value)
    return {name: round(sum(values) / len(values), 2) for name, values in types.items()}


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(imgedit.GROUPS),
            st.one_of(st.none(), st.lists(st.integers(1, 5), min_size=3, max_size=3)),
        ),
        max_size=40,
    ),
    st.booleans(),
)
def test_files_and_figures_are_the_official_ones(tmp_path_factory, rows, full):
    place = tmp_path_factory.mktemp("results")
    if full:
        dice = random.Random(len(rows))
        rows = rows + [(g, [dice.randint(1, 5) for _ in range(3)]) for g in imgedit.GROUPS]
    items = [SuiteItem(key=f"{n}", group=g, instruction="x", source="s", edited="e") for n, (g, _) in enumerate(rows)]
    texts = ["Brief reasoning: ü.\n" + "\n".join(f"N{i}: {s}" for i, s in enumerate(v)) if v else "" for _, v in rows]
    scores = [
        ItemScore(
            row=n,
            item=item,
            values={"score": imgedit.average([float(x) for x in values])} if values else None,
            replies=[{"reply": texts[n]}],
        )
        for n, (item, (_, values)) in enumerate(zip(items, rows, strict=True))
    ]
    suite = Suite(name="imgedit", items=tuple(items), groups=imgedit.GROUPS, hashes={}, whole=True)
    write_official(suite, scores, str(place), "m", "gpt4o")
    result = {i.key: text for i, text in zip(items, texts, strict=True) if text}
    assert (place / "result.json").read_text() == json.dumps(result, indent=4)
    averages = {key: average for key, text in result.items() if (average := step1(text)) is not None}
    assert (place / "average_score.json").read_text() == json.dumps(averages, indent=2)
    types = step2(averages, {i.key: i.group for i in items})
    assert (place / "typescore.json").read_text() == json.dumps(types, indent=2)
    mine = summarize(suite, scores, Bench(draws=1), REAL)
    for group in imgedit.GROUPS:
        assert mine.groups[group]["score"].value == types.get(group)
    macro = sum(types.values()) / 9 if len(types) == 9 else None
    assert mine.macro["score"].value == (None if macro is None else pytest.approx(macro))
    known = list(averages.values())
    assert mine.by_item["score"].value == (pytest.approx(sum(known) / len(known)) if known else None)


def test_paper_s_overall_of_its_own_columns_is_3_92():
    columns = (4.35, 3.70, 1.95, 4.60, 3.85, 4.30, 4.85, 3.95, 3.70)
    items = [SuiteItem(key=g, group=g, instruction="x", source="s", edited="e") for g in imgedit.GROUPS]
    scores = [
        ItemScore(row=n, item=i, values={"score": v}) for n, (i, v) in enumerate(zip(items, columns, strict=True))
    ]
    suite = Suite(name="imgedit", items=tuple(items), groups=imgedit.GROUPS, hashes={}, whole=True)
    assert summarize(suite, scores, Bench(draws=1), REAL).headline == pytest.approx(35.25 / 9)


def test_uge_is_a_headline_with_its_deviation_told():
    item = SuiteItem(key="1", group="uge", instruction="x", source="s", edited="e")
    suite = Suite(name="uge", items=(item,), groups=("uge",), hashes={}, whole=True)
    scores = [ItemScore(row=0, item=item, values={"score": 3.0})]
    found = summarize(suite, scores, Bench(draws=1), REAL)
    assert (found.headline, found.marks) == (3.0, (UGE_DEVIATION,))
    assert summarize(replace(suite, whole=False), scores, Bench(draws=1), REAL).headline is None
