"""GEdit-Bench: items, replies, CSVs and figures against independent readings of the official rules."""

import csv
import io
import json
import math
import random
import statistics

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.suites import config_of
from v4e.config import Bench, Judge
from v4e.evaluation.suites import gedit
from v4e.evaluation.suites.items import Suite, SuiteItem, sha256
from v4e.evaluation.suites.places import read
from v4e.evaluation.suites.rubrics import OWN_PQ, OWN_SC, SCALE, rubric
from v4e.evaluation.suites.scores import ItemScore, gedit_rows, summarize

REAL = Judge(kind="openai")


# Items


def test_items_are_the_rows_of_the_copy_in_its_order(benchmarks, tmp_path):
    config = config_of(benchmarks, tmp_path, "bench.languages=en,cn")
    suite = read(config, "gedit", "m")
    table = pq.read_table(benchmarks / "gedit" / "data" / "train-00000-of-00001.parquet").to_pylist()
    assert [(i.key, i.group, i.language, i.instruction) for i in suite.items] == [
        (r["key"], r["task_type"], r["instruction_language"], r["instruction"]) for r in table
    ]
    item = suite.items[0]
    place = f"{tmp_path}/bench/gedit/m/fullset/{item.group}/en/{item.key}"
    assert (item.source, item.edited) == (f"{place}_SRCIMG.png", f"{place}.png")
    assert suite.groups == gedit.GROUPS and len(suite.groups) == 11 and not suite.whole
    assert list(suite.hashes.values()) == [sha256(benchmarks / "gedit" / "data" / "train-00000-of-00001.parquet")]
    only = read(config_of(benchmarks, tmp_path, "bench.languages=cn", "bench.limit=1"), "gedit", "m")
    assert {i.language for i in only.items} == {"cn"} and len(only.items) == 11


def test_a_key_that_leads_out_of_the_folder_is_refused(benchmarks, tmp_path):
    table = pq.read_table(benchmarks / "gedit").slice(0, 1)
    at = table.schema.get_field_index("key")
    pq.write_table(table.set_column(at, "key", [["../../x"]]), tmp_path / "bad.parquet")
    with pytest.raises(ValueError, match="no file name"):
        gedit.read(Bench(gedit=str(tmp_path / "bad.parquet")), "save", "m")
    with pytest.raises(FileNotFoundError, match=r"bench\.gedit"):
        gedit.read(Bench(gedit=str(tmp_path / "none")), "save", "m")


def test_prompts_that_are_not_the_official_ones_are_refused_and_otherwise_read_without_running_the_file(benchmarks):
    bench = Bench(gedit_code=str(benchmarks / "gedit_code"))
    with pytest.raises(ValueError, match=r"gedit SC.*bench\.rubrics=given"):
        rubric("gedit", bench, REAL)
    found = rubric("gedit", Bench(gedit_code=str(benchmarks / "gedit_code"), rubrics="given"), REAL)
    assert set(found.hashes) == {"gedit SC", "gedit PQ"} and found.kinds == ("SC", "PQ")
    own = rubric("gedit", Bench(rubrics="own"), REAL)
    assert own.hashes != found.hashes and SCALE in OWN_SC + SCALE and "<instruction>" in OWN_SC and OWN_PQ
    with pytest.raises(FileNotFoundError, match=r"bench\.rubrics=own"):
        rubric("gedit", Bench(), REAL)


# Replies


@pytest.mark.parametrize(
    ("reply", "scores"),
    [
        ('{"score": [9, 8], "reasoning": "fine"}', [9, 8]),
        ('Sure:\n```json\n{\n"score" : [9, 8],\n"reasoning" : "a\n b"\n}\n```', [9, 8]),
        ('||V^=^V||{"score": [1, 2]}||V^=^V||', [1, 2]),
        ('{"score": 7, "reasoning": "one"}', [7]),
        ('{"score": [7.5, 8]}', [7.5, 8]),
        ('{"score": [9, 8], "reasoning": "it says "OPEN" now"}', [9, 8]),
        ("[6, 0]", [6, 0]),
        ("The scores are [6, 10].", [6, 10]),
        ("7", [7]),
        ('{"score": [9, 11]}', None),
        ('{"score": [-1, 5]}', None),
        ('{"score": []}', None),
        ('{"score": [true, 5]}', None),
        ('{"score": ["9", 5]}', None),
        ('{"score": [NaN, 5]}', None),
        ('{"reasoning": "no score"}', None),
        ("11", None),
        ("[1, 2, 3]", None),
        ("I cannot help with that.", None),
        ("", None),
        ("{" * 5000 + "}" * 5000, None),
    ],
)
def test_replies(reply, scores):
    assert gedit.read_reply(reply) == scores


@settings(deadline=None)
@given(st.text(max_size=60))
def test_no_reply_raises(text):
    found = gedit.read_reply(text)
    assert found is None or all(0 <= s <= 10 for s in found)


# Files


ITEM = SuiteItem(key="k", group="ps_human", instruction='a, "b"\nc 中', source="s_SRCIMG.png", edited="s.png")


def test_csv_is_what_the_official_writer_writes():
    rows = [(ITEM, 7, 8.5), (ITEM, 0, 10)]
    expected = io.StringIO(newline="")
    writer = csv.DictWriter(expected, fieldnames=list(gedit.CSV_HEADER))
    writer.writeheader()
    for item, s, q in rows:
        values = (item.source, item.edited, item.instruction, s, q, item.intersection, item.language)
        writer.writerow(dict(zip(gedit.CSV_HEADER, values, strict=True)))
    assert gedit.csv_bytes(rows) == expected.getvalue().encode()
    assert b"sementics_score" in gedit.csv_bytes([]) and b"\r\n" in gedit.csv_bytes([])


def test_csvs_of_all_groups_are_written_and_the_combined_one_only_where_something_was_scored(tmp_path):
    gedit.write_csvs(str(tmp_path), "m", [])
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(f"m_{g}_gpt_score.csv" for g in gedit.GROUPS)
    gedit.write_csvs(str(tmp_path), "m", [(ITEM, 7, 8)])
    assert (tmp_path / "m_combined_gpt_score.csv").read_bytes() == gedit.csv_bytes([(ITEM, 7, 8)])


# Figures, against a reading of the official rules in plain Python: from the CSVs, as the official script does


def official(folder, model: str, language: str) -> dict:
    """Per group and overall: means of S, Q and sqrt(S Q), of all rows and of the intersection; NaN of nothing."""
    found = {}
    for name, chosen in (("all", lambda r: True), ("intersection", lambda r: r["intersection_exist"] == "True")):
        groups = []
        for group in gedit.GROUPS:
            with open(folder / f"{model}_{group}_gpt_score.csv", newline="", encoding="utf-8") as file:
                rows = [r for r in csv.DictReader(file) if r["instruction_language"] == language and chosen(r)]
            pairs = [(float(r["sementics_score"]), float(r["quality_score"])) for r in rows]
            columns = ([s for s, _ in pairs], [q for _, q in pairs], [math.sqrt(s * q) for s, q in pairs])
            groups.append([statistics.fmean(c) if c else math.nan for c in columns])
        found[name] = (groups, [statistics.fmean(c) for c in zip(*groups, strict=True)])
    return found


def scored(values: list[tuple[str, str, bool, tuple[float, float] | None]]) -> tuple[Suite, list[ItemScore]]:
    items = [
        SuiteItem(
            key=f"{n}", group=g, instruction="x", source=f"{n}s", edited=f"{n}e", language=language, intersection=shared
        )
        for n, (g, language, shared, _) in enumerate(values)
    ]
    scores = [
        ItemScore(row=n, item=item, values=v and {"SC": v[0], "PQ": v[1], "O": math.sqrt(v[0] * v[1])})
        for n, (item, (_, _, _, v)) in enumerate(zip(items, values, strict=True))
    ]
    suite = Suite(name="gedit", items=tuple(items), groups=gedit.GROUPS, hashes={}, whole=True)
    return suite, scores


marks = st.one_of(st.integers(0, 10), st.sampled_from([0, 5, 10]), st.floats(0, 10))
row = st.tuples(
    st.sampled_from(gedit.GROUPS),
    st.sampled_from(["en", "cn"]),
    st.booleans(),
    st.one_of(st.none(), st.tuples(marks, marks)),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(row, max_size=60), st.booleans())
def test_figures_are_the_official_ones(tmp_path_factory, rows, full):
    folder = tmp_path_factory.mktemp("csv")
    if full:  # else most draws leave a group empty
        dice = random.Random(len(rows))
        rows = rows + [(g, "en", True, (dice.randint(0, 10), dice.randint(0, 10))) for g in gedit.GROUPS]
    suite, scores = scored(rows)
    gedit.write_csvs(str(folder), "m", gedit_rows(scores))
    expected = official(folder, "m", "en")
    for name in ("all", "intersection"):
        mine = summarize(suite, scores, Bench(draws=1), REAL, language="en", intersection=name == "intersection")
        groups, overall = expected[name]
        for group, means in zip(gedit.GROUPS, groups, strict=True):
            for axis, mean in zip(("SC", "PQ", "O"), means, strict=True):
                value = mine.groups[group][axis].value
                assert (value is None) if math.isnan(mean) else value == pytest.approx(mean, abs=1e-9)
            if mine.groups[group]["O"].value is not None:
                assert means[2] <= math.sqrt(means[0] * means[1]) + 1e-9  # O <= sqrt(SC x PQ), by Cauchy and Schwarz
        for axis, mean in zip(("SC", "PQ", "O"), overall, strict=True):
            value = mine.macro[axis].value
            assert (value is None) if math.isnan(mean) else value == pytest.approx(mean, abs=1e-9)
        if mine.macro["O"].value is not None:
            s, q = mine.macro["SC"].value or 0.0, mine.macro["PQ"].value or 0.0
            assert mine.macro["O"].value <= math.sqrt(s * q) + 1e-9
        chosen = [s for s in scores if s.item.language == "en" and (name == "all" or s.item.intersection)]
        known = [s.values["O"] for s in chosen if s.values]
        assert (mine.by_item["O"].n_scored, mine.by_item["O"].n_total) == (len(known), len(chosen))
        assert mine.by_item["O"].value == (pytest.approx(statistics.fmean(known)) if known else None)
    json.dumps(mine.to_json(), allow_nan=False)


# Headlines


def everything(lacking: int = 0) -> tuple[Suite, list[ItemScore]]:
    rows = [(g, "en", True, (8, 8)) for g in gedit.GROUPS] + [("ps_human", "en", True, None)] * lacking
    return scored(rows)


@pytest.mark.parametrize(
    ("lacking", "bench", "judge", "headline", "marks"),
    [
        (0, {}, {}, 8.0, ()),
        (1, {}, {}, None, ("11 of 12 items scored",)),
        (1, {"force": True}, {}, 8.0, ("forced", "11 of 12 items scored")),
        (0, {"rubrics": "given"}, {}, None, ("unofficial: bench.rubrics=given",)),
        (0, {}, {"kind": "fake"}, None, ("the fake judge looks at nothing",)),
        (0, {"force": True}, {"kind": "fake"}, None, ("the fake judge looks at nothing",)),
    ],
)
def test_headlines(lacking, bench, judge, headline, marks):
    suite, scores = everything(lacking)
    found = summarize(suite, scores, Bench(draws=1, **bench), Judge(**judge), language="en")
    assert (found.headline, found.marks) == (headline, marks)
