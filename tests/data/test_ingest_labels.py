"""The label stage: which task, which gate, which candidates; the same for any order of files and rows."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v4e.config import Ingest
from v4e.data.ingest.candidates import CANDIDATE, best, merge
from v4e.data.ingest.decide import Decision, decide
from v4e.data.ingest.leakage import instruction_hash, plain, read_hashes
from v4e.data.ingest.scan import Policy, Scan, classify, merge_scans, scan
from v4e.data.ingest.select import kept
from v4e.data.ingest.shards import read_scan, scan_to
from v4e.data.sources.files import corpus_files
from v4e.data.sources.formats import CORPORA
from v4e.data.sources.read import Label
from v4e.data.write import SCHEMA
from v4e.language.tasks import TASKS

INGEST = Ingest(count=40)
POLICY = Policy(ingest=INGEST, seed=0, keep=kept(INGEST), refused=frozenset())
OMNI = Label((0, 0), "task_obj_add_1", "add a red hat on the cat", "addition", {"o_score": 9.0}, (1024, 1024))


@pytest.mark.parametrize(
    ("label", "ruled", "sure", "expected"),
    [
        (("color",), "color", True, ("color", "agree")),
        (("replacement", "background"), "background", True, ("background", "agree")),
        (("style",), "", False, ("style", "corpus")),
        (("replacement", "background"), "", False, ("", "unsure")),
        ((), "text", True, ("text", "rules")),
        ((), "tone", False, ("", "unsure")),
        ((), "", False, ("", "none")),
        (("style",), "tone", True, ("", "differ")),
    ],
)
def test_label_and_rules_decide_together(label, ruled, sure, expected):
    assert decide(label, ruled, sure, INGEST) == Decision(*expected)


def test_policies_for_disagreement_and_doubt():
    assert decide(("style",), "tone", True, Ingest(disagree="corpus")) == ("style", "differ")
    assert decide(("style",), "tone", True, Ingest(disagree="rules")) == ("tone", "differ")
    assert decide((), "tone", False, Ingest(unsure="keep")) == ("tone", "unsure")
    assert decide(("replacement", "background"), "", False, Ingest(unsure="keep")) == ("replacement", "unsure")
    assert decide((), "", False, Ingest(unsure="keep", disagree="rules")) == ("", "none")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, ""),
        ({"instruction": " ?! "}, "empty instruction"),
        ({"instruction": "x" * 2001}, "instruction longer than 2000 characters"),
        ({"id": ""}, "bad id"),
        ({"id": "x" * 400}, "bad id"),
        ({"size": (1024, 447)}, "a side is below ingest.min_side"),
        ({"size": (448, 448)}, ""),
        ({"size": (1344, 448)}, ""),
        ({"size": (1345, 448)}, "longer than ingest.max_aspect"),
        ({"scores": {"o_score": 6.99}}, "o_score below ingest.min_o_score"),
        ({"scores": {"o_score": 7.0}}, ""),
        ({"scores": {"o_score": None}}, ""),
        ({"instruction": "make it a watercolor"}, "label and rules name different tasks"),
        ({"instruction": "Hello"}, ""),
        ({"instruction": "Hello", "id": "x", "label": ""}, "no label, and no rule applies"),
    ],
)
def test_gates_of_a_label(changed: dict, reason: str):
    label = replace(OMNI, **changed)
    assert classify(label, plain(label.instruction), CORPORA["omniedit"], POLICY).reason == reason


def test_a_row_without_a_score_ranks_last():
    def quality(score):
        label = replace(OMNI, scores={"o_score": score})
        return classify(label, plain(label.instruction), CORPORA["omniedit"], POLICY).quality

    assert quality(None) < quality(7.0) < quality(9.0)


def test_ultraedits_scores_mean_another_thing_for_global_edits():
    judge = CORPORA["ultraedit"].judge
    alike, far = ({"clip_sim_dir": 0.3, "dinov2_sim": value} for value in (0.9, 0.1))
    assert judge(alike, "color", INGEST) > judge(far, "color", INGEST)
    assert judge(alike, "style", INGEST) == judge(far, "style", INGEST)
    _, reason = judge({"clip_sim_dir": 0.19, "dinov2_sim": 0.9}, "color", INGEST)
    assert reason == "clip_sim_dir below ingest.min_clip_dir"
    assert judge({"clip_sim_dir": None, "dinov2_sim": None}, "color", INGEST) == (-1.0, "")


def test_benchmark_instructions_are_refused_by_their_hashes(tmp_path: Path):
    """Whatever their case, punctuation and width; the list is made by the command."""
    prompts, hashes = tmp_path / "prompts.txt", tmp_path / "hashes.txt"
    prompts.write_text("Add a red  hat on the CAT.\n\n把背景换成海滩\nadd a red hat, on the cat\n")
    command = [Path(sys.executable).with_name("v4e"), "leakage", str(prompts), str(hashes)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "2 instructions" in said and "hat" not in hashes.read_text()
    refused = read_hashes(str(hashes))
    policy = replace(POLICY, refused=refused)
    for text in ("add a red hat on the cat", "\uff21dd a red hat on the cat!!"):
        verdict = classify(replace(OMNI, instruction=text), plain(text), CORPORA["omniedit"], policy)
        assert verdict.reason == "instruction is in ingest.refuse"
    assert instruction_hash(plain("把背景换成海滩。")) in refused
    other = "add a red hat on the cats"
    assert not classify(replace(OMNI, instruction=other), plain(other), CORPORA["omniedit"], policy).reason
    with pytest.raises(ValueError, match=r"line 1 is no sha256 but 'Add'.*v4e leakage"):
        read_hashes(str(prompts))
    with pytest.raises(FileNotFoundError, match=r"^ingest\.refuse="):
        read_hashes(str(tmp_path / "none.txt"))


rows_of_cells = st.lists(
    st.tuples(st.sampled_from(["color", "tone"]), st.integers(0, 3), st.integers(0, 2**64 - 1), st.integers(0, 4)),
    max_size=40,
    unique_by=lambda row: row[2],
)


@settings(deadline=None)
@given(rows_of_cells, st.integers(1, 6), st.integers(1, 3), st.integers(1, 7), st.randoms())
def test_which_candidates_are_kept_depends_on_their_set_alone(rows, keep, per_instruction, cut, rng):
    """Against picking from all at once, one after another; parts of any size come in any order."""
    made = [(task, np.array([(quality, tie, words, 0, 0, 0)], CANDIDATE)) for task, quality, tie, words in rows]
    expected = {}
    for task in {task for task, _ in made}:
        taken: list[np.ndarray] = []
        mine = [one for name, one in made if name == task]
        for one in sorted(mine, key=lambda one: (-one["quality"][0], one["tie"][0])):
            if sum(other["words"] == one["words"] for other in taken) < per_instruction:
                taken.append(one)
        expected["omniedit", task] = np.concatenate(taken[:keep])
    rng.shuffle(made)
    merged = {}
    for start in range(0, len(made), cut):
        part: dict = {}
        for task, one in made[start : start + cut]:
            part.setdefault(("omniedit", task), []).append(one)
        parts = {cell: best(np.concatenate(ones), keep, per_instruction) for cell, ones in part.items()}
        merged = merge([merged, parts], dict.fromkeys(TASKS, keep), per_instruction)
    assert merged.keys() == expected.keys()
    for cell, ones in expected.items():
        assert merged[cell].tolist() == ones.tolist()


def omniedit_files(folder: Path, rows: list[dict], cuts: list[int], row_group: int) -> list:
    folder.mkdir()
    for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(rows)], strict=True)):
        table = pa.Table.from_pylist(rows[start:end], schema=SCHEMA)
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=row_group)
    return corpus_files(Ingest(omniedit=(str(folder),)))[0]


def chosen(found: Scan) -> dict:
    return {cell: ones[["quality", "tie", "words"]].tolist() for cell, ones in found.candidates.items()}


def test_a_scan_is_the_same_however_rows_are_shuffled_over_files(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("v4e.data.ingest.scan.FLUSH", 7)
    rows = [
        {
            "omni_edit_id": f"task_attr_mod_color_{n}" if n % 3 else f"task_obj_add_{n}",
            "task": "attribute_modification" if n % 3 else "addition",
            "edited_prompt_list": [f"make the mug of guest {n // 2} red" if n % 3 else f"add a hat to man {n}"],
            "o_score": 6.5 + n % 7 / 2,
        }
        for n in range(120)
    ]
    shuffled = [rows[at] for at in np.random.default_rng(0).permutation(len(rows))]
    one = omniedit_files(tmp_path / "one", rows, [], 200)
    many = omniedit_files(tmp_path / "many", shuffled, [30, 31, 90], 11)
    first = merge_scans([scan(file, POLICY) for file in one], POLICY)
    second = merge_scans([scan(file, POLICY) for file in many[::-1]], POLICY)
    assert chosen(first) == chosen(second)
    assert (first.passed, first.dropped, first.agreement) == (second.passed, second.dropped, second.agreement)
    assert len(first.candidates["omniedit", "color"]) == POLICY.keep["color"] < first.passed["omniedit", "color"]
    assert first.dropped == {("omniedit", "o_score below ingest.min_o_score"): 18}
    other = merge_scans([scan(file, replace(POLICY, seed=1)) for file in one], POLICY)
    assert chosen(first) != chosen(other), "among equals, the seed decides"


def test_a_scan_is_kept_on_disk(tmp_path: Path):
    rows = [
        {"omni_edit_id": f"task_obj_add_{n}", "task": "addition", "edited_prompt_list": [f"add a hat to man {n}"]}
        for n in range(9)
    ]
    [file] = omniedit_files(tmp_path / "omniedit", [*rows, {"omni_edit_id": "x", "task": "style"}], [], 4)
    scan_to(str(tmp_path / "scans"), POLICY, file)
    found, again = scan(file, POLICY), read_scan(str(tmp_path / "scans"), file)
    assert chosen(found) == chosen(again) and found.passed == again.passed and found.dropped == again.dropped
    stamps = [path.stat().st_mtime_ns for path in (tmp_path / "scans").iterdir()]
    scan_to(str(tmp_path / "scans"), POLICY, file)
    assert [path.stat().st_mtime_ns for path in (tmp_path / "scans").iterdir()] == stamps


def test_a_damaged_row_group_is_told(tmp_path: Path):
    rows = [
        {"omni_edit_id": f"task_obj_add_{n}", "task": "addition", "edited_prompt_list": [f"add a hat to man {n}"]}
        for n in range(8)
    ]
    [file] = omniedit_files(tmp_path / "omniedit", rows, [], 4)
    path = tmp_path / "omniedit" / "0.parquet"
    data, metadata = bytearray(path.read_bytes()), pq.read_metadata(path).row_group(1)
    for column in range(metadata.num_columns):
        start = metadata.column(column).data_page_offset
        data[start : start + 20] = b"\xff" * 20
    path.write_bytes(data)
    found = scan(file, POLICY)
    assert found.passed == {("omniedit", "addition"): 4}
    [(where, reason)] = found.damaged
    assert where == f"{file.uri} row group 1" and reason
