"""The report of a benchmark in a real browser: its figures, its filters, its slider; nothing is fetched."""

import csv
import io
import json
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.stages import benchmark
from tests.support.browser import needs_chromium
from tests.support.suites import arguments, outputs, plant, scores_of
from v4e.config import Config, parse
from v4e.evaluation.suites.compare import compare
from v4e.evaluation.suites.page import spread
from v4e.evaluation.suites.published import TABLE4, TABLE5, TABLE6
from v4e.evaluation.suites.tables import tex

HOSTILE = "</script><script>document.title='x'</script><img src=x onerror=\"document.title='x'\">"
PROBE = """<script>addEventListener("load", () => {
const keys = () => [...document.querySelectorAll(".card")].map(c => c.dataset.key);
const get = id => document.getElementById(id);
const set = (id, value) => { get(id).value = value; get(id).dispatchEvent(new Event("input")); };
const seen = { all: keys(), images: [...document.images].length };
set("suite", "gedit"); set("group", "ps_human"); seen.filtered = keys();
set("group", ""); set("model", "b"); set("order", "worst"); seen.worst = keys();
set("order", "split"); seen.split = keys();
set("low", 9); seen.high = keys();
set("low", 0); get("failed").checked = true; set("failed", "on"); seen.failed = keys();
get("failed").checked = false; set("order", "row"); set("suite", "");
const range = document.querySelector(".compare input"), after = document.querySelector(".after");
seen.cuts = [after.style.clipPath]; range.value = 10;
range.dispatchEvent(new Event("input")); seen.cuts.push(after.style.clipPath);
document.querySelector(".tabs [aria-pressed=false]").click();
seen.pressed = document.querySelector(".tabs [aria-pressed=true]").dataset.model;
seen.words = [...document.querySelectorAll(".card > p")].map(p => p.textContent);
seen.fetched = performance.getEntriesByType("resource").map(e => e.name);
seen.widths = [innerWidth, document.documentElement.scrollWidth];
document.body.dataset.seen = JSON.stringify(seen); })</script>"""


@pytest.fixture(scope="module")
def run(benchmarks, tmp_path_factory) -> Path:
    """Two models' edits judged by the fake judge; an earlier run of it; one edit is lost."""
    place = tmp_path_factory.mktemp("page") / "<b>run"
    args = [*arguments(benchmarks, place, "bench.models=a,b", "bench.stages=judge,report"), "judge.kind=fake"]
    config = parse(args)
    plant(config)
    benchmark.run(config)
    shutil.copytree(place / "bench", place.parent / "old")
    for path in (place / "bench" / "gedit" / "b").rglob("*.png"):
        if "SRCIMG" not in path.name:
            shutil.copy(path.with_name(f"{path.stem}_SRCIMG.png"), path)
    (place / "bench/gedit/b/fullset/ps_human/en/ps_human-0.png").unlink()
    benchmark.run(parse([*args, f"bench.against={place.parent / 'old'}"]))
    return place


@pytest.mark.slow
@needs_chromium
def test_the_page_in_a_browser(browse, run):
    page = (run / "bench" / "report.html").read_text()
    item = scores_of(run, "gedit", "fake", "a")["items"][0]
    # an instruction as a hostile data set might have it
    escaped = json.dumps(HOSTILE)[1:-1].replace("<", "\\u003c")
    assert item["instruction"] in page
    page = page.replace(json.dumps(item["instruction"])[1:-1], escaped)
    dom = browse(page.replace("</html>", PROBE + "</html>"), 1000)
    seen = dom.seen
    scores = {m: {i["key"]: i for i in scores_of(run, "gedit", "fake", m)["items"]} for m in "ab"}
    assert len(seen["all"]) == 22 + 18 + 2 and seen["images"] > 60
    assert seen["filtered"] == ["ps_human-0", "ps_human-1"]
    values = {key: (i["values"] or {"O": None})["O"] for key, i in scores["b"].items()}
    shown = [values[key] for key in seen["worst"]]
    assert shown[0] is None and shown[1:] == sorted(shown[1:]) and len(shown) == 22
    differ = [abs(values[k] - scores["a"][k]["values"]["O"]) if values[k] is not None else 0.0 for k in seen["split"]]
    assert differ == sorted(differ, reverse=True)
    assert set(seen["high"]) == {key for key, value in values.items() if value is None or value >= 9}
    assert seen["failed"] == ["ps_human-0"]
    assert seen["cuts"] == ["inset(0px 0px 0px 50%)", "inset(0px 0px 0px 90%)"] and seen["pressed"] == "a"
    assert dom.texts["title"] == [f"v4e benchmark: {run}/bench"] and HOSTILE in seen["words"]
    assert seen["fetched"] == [] and seen["widths"][1] <= seen["widths"][0]
    links = [attrs[key] for _, attrs in dom.tags for key in ("src", "href", "srcset") if attrs.get(key)]
    assert links and all(link.startswith("data:") for link in links)
    table = dom.tables[0]
    assert table[0] == ["model", "SC", "PQ", "O"] and len(table) == 1 + len(TABLE4) + 2
    assert [row[3] for row in table[1:16]] == [f"{o:.2f}" for _, _, o in TABLE4.values()]
    told = scores_of(run, "gedit", "fake", "a")["en"]
    [heat] = [t for t in dom.tables if t[0][0] == "of 10"]
    assert [row[0] for row in heat[1:]] == [f"{model} {axis}" for model in "ab" for axis in ("SC", "PQ", "O")]
    groups = scores_of(run, "gedit", "fake", "b")["en"]["groups"]
    assert heat[6][1:] == [f"{axes['O']['value']:.2f}" for axes in groups.values()] and len(heat[0]) == 12
    assert table[16][3].startswith(f"{told['macro']['O']['value']:.3f} [") and table[17][3].endswith("(21/22)")


def test_the_same_scores_give_the_same_files(run, benchmarks):
    before = outputs(run)
    assert {f"bench/{name}" for name in ("report.html", "tables.md", "tables.csv", "tables.tex")} <= set(before)
    args = arguments(benchmarks, run, "bench.models=a,b", "bench.stages=report", f"bench.against={run.parent / 'old'}")
    benchmark.run(parse([*args, "judge.kind=fake"]))
    assert outputs(run) == before


def test_tables_as_files_say_whose_run_it_is(run):
    rows = list(csv.DictReader(io.StringIO((run / "bench" / "tables.csv").read_text())))
    ours = [r for r in rows if r["ours"] == "True"]
    assert {r["model"] for r in ours} == {"a", "b"} and all("judge fake" in r["source"] for r in ours)
    assert all("NO RESULT" in r["source"] for r in ours)
    assert all("as printed in the paper" in r["source"] for r in rows if r["ours"] == "False")
    text = (run / "bench" / "tables.md").read_text()
    assert "| Video4Edit | 7.37 | 7.44 | 6.71 |" in text and "**a**" in text and "its own nine columns is 3.92" in text
    latex = (run / "bench" / "tables.tex").read_text()
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 3
    for line in latex.splitlines():
        if line.endswith(r"\\"):
            assert not re.search(r"(?<!\\)[%$#_]", line)


def test_published_tables_keep_what_the_paper_s_own_columns_say():
    assert abs(sum(TABLE5["Video4Edit"][0] or ()) / 9 - 3.92) < 0.005
    for sc, pq, o in TABLE4.values():
        assert sc is None or pq is None or o <= (sc * pq) ** 0.5 + 0.005
    assert TABLE6["full"][1:] == (6.71, 4.02)


def test_a_change_is_of_the_same_items_and_too_few_decide_nothing():
    def result(scores: list[float], judge: str = "j") -> dict:
        items = [
            {"row": n, "key": f"{n}", "group": "add", "language": "en", "instruction": "x", "values": {"score": s}}
            for n, s in enumerate(scores)
        ]
        return {"suite": "imgedit", "model": "m", "judge": judge, "items": items}

    old, new = result([4.0] * 12), result([3.0] * 11 + [2.5])
    found = compare(old, new, 200)
    assert found and found.overall.mean == pytest.approx(-12.5 / 12) and found.overall.word == "worse"
    assert (found.worst[0][0]["key"], *found.worst[0][1:]) == ("11", 4.0, 2.5) and not found.warnings
    few = compare(result([4.0] * 3), result([1.0] * 3), 200)
    assert few and few.overall.word == "too few items"
    other = compare(old, result([4.0], judge="k"), 200)
    assert other and other.overall.n == 1 and other.warnings == ("another judge: j then, k now",)
    new["items"][0]["instruction"] = "y"
    again = compare(old, new, 200)
    assert again and again.overall.n == 11
    assert compare(old, {**new, "items": []}, 200) is None


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.one_of(st.none(), st.floats(0, 10))), max_size=60), st.integers(1, 30)
)
def test_a_gallery_has_no_more_than_asked_of_every_group(drawn, most):
    entries = [{"group": g, "mean": m, "n": n} for n, (g, m) in enumerate(drawn)]
    kept = spread(entries, most)
    assert len(kept) == min(len(entries), len(kept)) <= max(most, 0) or len(entries) <= most
    assert len({e["n"] for e in kept}) == len(kept)
    if most >= 3:
        assert {e["group"] for e in kept} == {g for g, _ in drawn}


def test_latex_escapes():
    assert tex("50% of a_b & {c}~\\") == r"50\% of a\_b \& \{c\}\textasciitilde{}\textbackslash{}"


def test_without_scores_the_report_says_what_to_run(benchmarks, tmp_path):
    config: Config = parse(arguments(benchmarks, tmp_path, "bench.stages=report"))
    with pytest.raises(FileNotFoundError, match=r"bench\.stages=judge,report"):
        benchmark.run(config)
