"""RISEBench: its layout, its questions, its replies and its figures, against numbers worked out by hand."""

import hashlib
import json
from pathlib import Path

import pytest
from PIL import Image

from tests.support.suites import config_of
from v4e.config import Bench, Judge
from v4e.evaluation.suites import rise, rise_rubric
from v4e.evaluation.suites.items import Suite, SuiteItem
from v4e.evaluation.suites.places import read
from v4e.evaluation.suites.rubrics import rubric
from v4e.evaluation.suites.scores import ItemScore, summarize

TEMPORAL, CAUSAL, SPATIAL, LOGICAL = rise.GROUPS
OWN = Bench(rubrics="own")


def layout(place: Path, rows: list[dict], below: str = "data") -> Bench:
    """A JSON file of rows, each with an image of its own."""
    for n, row in enumerate(rows):
        given = {"index": f"{row['category']}_{n}", "instruction": "Turn it.", "image": f"images/{n}.png"}
        rows[n] = given | row
        for name in (rows[n]["image"], row.get("reference_img")):
            if name:
                file = place / below / name
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (8, 8), (n, 0, len(name))).save(file)
    (place / "datav2_total_w_subtask.json").write_text(json.dumps(rows))
    return Bench(rise=str(place), rubrics="own")


def only(place: Path, row: dict, *others: dict) -> SuiteItem:
    return rise.read(layout(place, [row, *others]), "save", "m").items[0]


# Items


def test_items_are_those_of_the_file_with_the_official_paths(benchmarks, tmp_path):
    config = config_of(benchmarks, tmp_path)
    suite = read(config, "rise", "m")
    rows = json.loads((benchmarks / "rise" / "datav2_total_w_subtask.json").read_text())
    assert [(i.key, i.group, i.instruction) for i in suite.items] == [
        (row["index"], row["category"], row["instruction"]) for row in rows
    ]
    first = suite.items[0]
    assert first.edited == f"{tmp_path}/bench/rise/m/images/temporal_reasoning/temporal_reasoning_1.png"
    assert Path(first.source).read_bytes() == (benchmarks / "rise/data" / rows[0]["image"]).read_bytes()
    digest = hashlib.sha256((benchmarks / "rise" / "datav2_total_w_subtask.json").read_bytes()).hexdigest()
    assert suite.hashes == {"datav2_total_w_subtask.json": digest}
    assert not suite.whole and suite.notes[0] == "2 items of temporal_reasoning, the published set has 85"


def test_the_whole_set_is_told_by_its_counts(tmp_path):
    rows = [{"category": g, "reference": "r", "reference_txt": "r"} for g, n in rise.ROWS.items() for _ in range(n)]
    bench = layout(tmp_path, rows)
    suite = rise.read(bench, "save", "m")
    assert len(suite.items) == 360 and suite.whole and suite.notes == ()
    (tmp_path / "datav2_total_w_subtask.json").write_text(json.dumps(rows[1:]))
    assert not rise.read(bench, "save", "m").whole


def test_images_lie_beside_the_file_as_in_the_repository(tmp_path):
    bench = layout(tmp_path, [{"category": CAUSAL, "reference": "r"}], below="")
    assert rise.read(bench, "save", "m").items[0].source == f"{tmp_path}/images/0.png"


@pytest.mark.parametrize(
    ("row", "names", "first", "shown"),
    [
        ({"category": TEMPORAL, "reference": "r"}, ("consist", "reasoning", "generation"), "0", False),
        (
            {"category": CAUSAL, "reference": "r", "reasoning_img": "True"},
            ("consist", "reasoning_w_input", "generation"),
            "0",
            True,
        ),
        ({"category": SPATIAL, "reference": "r"}, ("spatial_cons", "spatial_ref", "spatial_qual"), "0", False),
        (
            {"category": SPATIAL, "reference": "r", "reasoning_img": True},
            ("spatial_cons", "spatial_ref_w_input", "spatial_qual"),
            "0",
            True,
        ),
        (
            {"category": SPATIAL, "reference": "r", "reference_img": "r.png"},
            ("spatial_cons", "spatial_ref_img", "spatial_qual"),
            "r",
            True,
        ),
        ({"category": LOGICAL, "reference_txt": "r"}, ("logical_cons_ans", "logical_txt", None), "0", False),
        ({"category": LOGICAL, "reference_img": "r.png"}, ("logical_cons", "logical_img", None), "r", True),
        (
            {"category": LOGICAL, "reference_txt": "r", "reference_img": "r.png"},
            ("logical_cons_ans", "logical_txt", None),
            "0",
            False,
        ),
        # an image of reference is for the last two categories alone, and an empty cell is none
        (
            {"category": TEMPORAL, "reference": "r", "reference_img": "r.png", "reasoning_img": None},
            ("consist", "reasoning", "generation"),
            "0",
            False,
        ),
    ],
)
def test_prompts_and_images_follow_the_item_s_fields(tmp_path, row, names, first, shown):
    item = only(tmp_path, row)
    found = [item.facts.get(kind) for kind in rise.KINDS]
    assert found == [name and f"prompt_{name}" for name in names]
    assert Path(item.facts["first"]).stem == first and ("shown" in item.facts) == shown
    assert item.kinds == rise.KINDS[: 3 - names.count(None)]


def test_one_row_with_reasoning_wo_ins_makes_all_logical_ones_so(tmp_path):
    """A column of the official table is there for every row."""
    row = {"category": LOGICAL, "reference_img": "r.png"}
    item = only(tmp_path, row, {"category": CAUSAL, "reference": "r", "reasoning_wo_ins": None})
    assert item.facts["reasoning"] == "prompt_logical_img_wo_q"


@pytest.mark.parametrize("value", [None, float("nan"), False, ""])
def test_an_empty_cell_frees_no_item_of_consistency(tmp_path, value):
    assert "consistency" in only(tmp_path, {"category": CAUSAL, "reference": "r", "consistency_free": value}).kinds


def test_consistency_is_not_asked_where_it_is_free(tmp_path):
    item = only(tmp_path, {"category": CAUSAL, "reference": "r", "consistency_free": "True"})
    assert item.kinds == ("reasoning", "plausibility") and "consistency" not in item.axes
    logical = only(tmp_path, {"category": LOGICAL, "reference_txt": "r", "consistency_free": "True"})
    assert logical.kinds == ("consistency", "reasoning")


def test_items_without_an_instruction_or_a_reference_are_left_out_and_told(tmp_path):
    rows = [{"category": CAUSAL, "reference": "r", "instruction": " "}, {"category": LOGICAL, "reference": "r"}]
    suite = rise.read(layout(tmp_path, [*rows, {"category": SPATIAL, "reference": "r"}]), "save", "m")
    assert [item.key for item in suite.items] == ["spatial_reasoning_2"]
    assert [note.split(",")[0].split()[1] for note in suite.notes[-2:]] == ["causal_reasoning_0", "logical_reasoning_1"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"category": "moral_reasoning", "reference": "r"}], "moral_reasoning"),
        ([{"category": CAUSAL, "reference": "r", "index": "../../x"}], "leads out"),
        ([{"category": CAUSAL, "reference": "r", "index": "x"}] * 2, "x 2 times"),
    ],
)
def test_other_sets_are_refused(tmp_path, rows, words):
    with pytest.raises(ValueError, match=words):
        rise.read(layout(tmp_path, rows), "save", "m")


@pytest.mark.parametrize("image", ["../../secret.png", "/etc/secret.png", "a/../../secret.png"])
def test_an_image_outside_its_folder_is_refused(tmp_path, image):
    bench = layout(tmp_path, [{"category": CAUSAL, "reference": "r"}])
    [row] = json.loads((tmp_path / "datav2_total_w_subtask.json").read_text())
    for field in ("image", "reference_img"):
        row |= {"category": SPATIAL, field: image}
        (tmp_path / "datav2_total_w_subtask.json").write_text(json.dumps([row]))
        with pytest.raises(ValueError, match="leads out"):
            rise.read(bench, "save", "m")
        row |= {field: "images/0.png"}


@pytest.mark.parametrize("text", ["no JSON", '{"index": 1}', "[1]", '[{"index": 1}]', "[" * 100_000])
def test_other_files_are_named_in_one_line(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match=r"bench\.rise: .*x\.json.*expected a JSON list") as error:
        rise.read(Bench(rise=str(tmp_path)), "save", "m")
    assert "\n" not in str(error.value)


def test_a_place_without_the_file_says_what_was_expected(tmp_path):
    for place in ("", str(tmp_path), str(tmp_path / "gone")):
        with pytest.raises(FileNotFoundError, match=r"datav2_total_w_subtask\.json"):
            rise.read(Bench(rise=place), "save", "m")


# Replies


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("It is fine.\n\n**Final Score:** **4**", 4),
        ("**Final Score**: **5**", 5),
        ("Final Score: 3", 3),
        ("final scores:\n\n2", 2),
        ("**Final Score:** 4/5", 4),
        ("Final Score: 4\n...\n**Final Score:** **4**", 4),
        ("<think>Final Score: 1</think>Final Score: 5", 5),
        ("Final Score: 3\nNo, rather:\nFinal Score: 4", None),  # a draft
        ("**Final Score:** **1-5**", None),  # the format, repeated
        ("Final Score: 4.5", None),
        ("Final Score: 0", None),
        ("Final Score: 6", None),
        ("Final Score: 99999999999999999999", None),
        ("Final Score: " + "9" * 5000, None),
        ("Final Score: X", None),
        ("Score: 4", None),
        ("", None),
    ],
)
def test_replies(reply, score):
    assert rise.read_reply(reply, 1) == (None if score is None else [score])


def test_a_logical_score_may_be_0():
    assert rise.read_reply("**Final Score**: **0**", 0) == [0]


# Figures


@pytest.mark.parametrize(
    ("reasoning", "consistency", "plausibility", "score"),
    [
        (5, 5, 5, 5.0),
        (4, 3, 2, 3.3),  # 0.9 + 2.0 + 0.4
        (2, 5, 1, 2.7),  # 1.5 + 1.0 + 0.2
        (1, 5, 5, 1.5),  # half of 1.5 + 0.5 + 1.0
        (1, 1, 1, 1.0),  # half of 1, at least 1
        (1, 2, 3, 1.0),  # half of 0.6 + 0.5 + 0.6
        (4, None, 2, 3.6),  # 3.2 + 0.4
        (1, None, 5, 1.0),  # half of 0.8 + 1.0
        (5, 1, None, 3.8),  # 0.3 + 3.5
        (1, 5, None, 1.1),  # half of 1.5 + 0.7
    ],
)
def test_an_item_s_score(reasoning, consistency, plausibility, score):
    assert rise.total(reasoning, consistency, plausibility) == pytest.approx(score)


def item(group: str, n: int = 0, axes: tuple[str, ...] = ()) -> SuiteItem:
    return SuiteItem(key=f"{group}_{n}", group=group, instruction="x", source="s", edited="e", axes=axes)


def test_an_item_s_figures_are_in_percent():
    found = rise.values(item(SPATIAL), {"consistency": 3, "reasoning": 4, "plausibility": 2})
    assert tuple(found) == rise.AXES
    assert found == pytest.approx(
        {"reasoning": 75, "consistency": 50, "plausibility": 25, "score": 57.5, "accuracy": 0}
    )
    assert rise.values(item(CAUSAL), {"reasoning": 5, "plausibility": 5}) == {
        "reasoning": 100,
        "plausibility": 100,
        "score": 100,
        "accuracy": 100,
    }
    # 0 and 1 become 1 and 5: 0.3 x 5 + 0.7 x 1 = 2.2, halved to 1.1
    logical = rise.values(item(LOGICAL), {"consistency": 1, "reasoning": 0})
    assert logical == pytest.approx({"reasoning": 0, "consistency": 100, "score": 2.5, "accuracy": 0})
    assert rise.values(item(LOGICAL), {"consistency": 1, "reasoning": 1})["accuracy"] == 100


def test_the_overall_is_of_items_and_of_those_that_have_the_figure():
    """Three temporal items and one logical: accuracy is 1 of 4, although the mean over categories would be 1 of 6."""
    free, logical = (
        ("reasoning", "plausibility", "score", "accuracy"),
        ("reasoning", "consistency", "score", "accuracy"),
    )
    given = [
        (item(TEMPORAL, 0), {"consistency": 5.0, "reasoning": 5.0, "plausibility": 5.0}),
        (item(TEMPORAL, 1, free), {"reasoning": 3.0, "plausibility": 1.0}),
        (item(TEMPORAL, 2), {"consistency": 1.0, "reasoning": 1.0, "plausibility": 3.0}),
        (item(LOGICAL, 3, logical), {"consistency": 1.0, "reasoning": 0.0}),
    ]
    scores = [ItemScore(row=n, item=one, values=rise.values(one, asked)) for n, (one, asked) in enumerate(given)]
    suite = Suite(name="rise", items=tuple(i for i, _ in given), groups=rise.GROUPS, hashes={}, whole=True)
    found = summarize(suite, scores, Bench(draws=200), Judge(kind="openai"))
    values = {axis: (mean.value, mean.n_scored, mean.n_total) for axis, mean in found.macro.items()}
    assert values == {
        "reasoning": (pytest.approx((100 + 50 + 0 + 0) / 4), 4, 4),
        "consistency": (pytest.approx((100 + 0 + 100) / 3), 3, 3),
        "plausibility": (pytest.approx((100 + 0 + 50) / 3), 3, 3),
        "score": (pytest.approx((100 + 40 + 0 + 2.5) / 4), 4, 4),  # 5, 2.6, 1 and 1.1
        "accuracy": (25.0, 4, 4),
    }
    assert found.groups[TEMPORAL]["accuracy"].value == pytest.approx(100 / 3)
    assert found.groups[LOGICAL]["plausibility"].n_total == 0 and found.groups[CAUSAL]["score"].value is None
    assert found.headline == 25.0 and found.interval["accuracy"] == (0.0, 75.0)


# Questions


def test_prompts_of_others_are_refused_and_braces_of_others_named(benchmarks, tmp_path):
    code = str(benchmarks / "rise_code")
    with pytest.raises(ValueError, match=r"bench\.rise_code: the judge prompts rise have sha256"):
        rubric("rise", Bench(rise_code=code), Judge())
    with pytest.raises(FileNotFoundError, match="PhoenixZ810/RISEBench"):
        rubric("rise", Bench(rise_code=str(tmp_path)), Judge())
    texts = rise_rubric.own_prompts() | {"prompt_consist": "{instruction}"}
    (tmp_path / "utils.py").write_text("".join(f"{name} = {text!r}\n" for name, text in texts.items()))
    given = rubric("rise", Bench(rise_code=str(tmp_path), rubrics="given"), Judge())
    one = only(tmp_path, {"category": CAUSAL, "reference": "r {instruct}"})
    with pytest.raises(ValueError, match="prompt_consist has braces"):
        given.build(one, "consistency")
    Path(tmp_path / "e.png").write_bytes(Path(one.source).read_bytes())
    here = SuiteItem(**{**vars(one), "edited": f"{tmp_path}/e.png"})
    assert "r {instruct}" in given.build(here, "reasoning").text  # braces in an item are its own
