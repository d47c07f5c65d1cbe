"""pipelines/ingest.py on small files of every corpus: the mix, the splits, a kill, and what the next stages read."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines.stages import ingest, precompute
from tests.support.processes import kill_once, start
from v4e.config import Config, Ingest, parse
from v4e.data.captions_table import read_instructions, write_captions
from v4e.data.ingest.check import Checked, check_chunk, read_checked
from v4e.data.ingest.dedupe import repeats
from v4e.data.ingest.drawing import drawings
from v4e.data.ingest.fixtures import write_all, write_folder
from v4e.data.ingest.manifest import kind
from v4e.data.ingest.scan import Policy, merge_scans, scan
from v4e.data.ingest.select import Selection, kept, splits
from v4e.data.reject import read_rejected
from v4e.data.sources import parts, rows
from v4e.data.sources.files import corpus_files
from v4e.data.sources.formats import CORPORA
from v4e.data.store.store import Store
from v4e.files.uri import read_json
from v4e.language.tasks import TASKS
from v4e.tiny.world.write import write_split

NAMES = ("omniedit", "hqedit", "ultraedit", "gptedit", "magicbrush", "folder")
NONE = np.array([], np.uint64)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("corpora")
    write_all(folder, per_task=3, scale=0.2)
    return folder


def choose(ingest: Ingest, folder: Path, seed: int = 0, backwards: bool = False) -> Selection:
    """Both stages in this process; `backwards`, files and chunks come in another order."""
    files, _ = corpus_files(ingest)
    policy = Policy(ingest=ingest, seed=seed, keep=kept(ingest), refused=frozenset())
    scans = [scan(file, policy) for file in files]
    found = merge_scans(scans[::-1] if backwards else scans, policy)
    names = tuple(dict.fromkeys(file.corpus for file in files))
    selection = Selection(ingest=ingest, corpora=names, candidates=found.candidates, excluded=NONE)
    while todo := selection.todo():
        chunks = selection.chunks(todo, files, str(folder))
        for chunk in chunks[::-1] if backwards else chunks:
            check_chunk(ingest, 10**7, chunk)
        selection = selection.with_checked(todo, [one for chunk in chunks for one in read_checked(chunk)])
    return selection


def small(corpora: Path, **changes) -> Ingest:
    named = {name: (str(corpora / name),) for name in NAMES}
    return Ingest(**(named | {"count": 60, "heldout": 12, "min_side": 64} | changes))


def ids(ones: list[Checked]) -> list[str]:
    return [one.id for one in ones]


@pytest.mark.slow
def test_splits_have_the_mix_share_no_image_and_depend_on_the_seed_alone(corpora: Path, tmp_path: Path):
    made = small(corpora)
    first = choose(made, tmp_path / "first")
    train, heldout = splits(first, 0)
    assert (len(train), len(heldout)) == (60, 12)
    assert repeats([*train, *heldout], NONE, made.hash_distance) == [""] * 72
    wanted = first.wanted_SK.sum(0)
    got = [sum(one.cell[1] == task for one in [*train, *heldout]) for task in TASKS]
    assert got == wanted.tolist() and min(got) >= 5
    assert {one.cell[0] for one in train} == set(NAMES)
    assert len({one.cell[1] for one in train[:33]}) == 11, "the first ones are a balanced set already"
    again = splits(choose(made, tmp_path / "again", backwards=True), 0)
    assert (ids(train), ids(heldout)) == (ids(again[0]), ids(again[1]))
    other = splits(choose(made, tmp_path / "other", seed=1), 1)
    assert set(ids(other[0])) != set(ids(train))


def test_a_task_that_fails_its_gates_is_taken_from_other_corpora(tmp_path: Path):
    """Quotas are fitted again as candidates run out; what nobody has is missing, and other tasks are not changed."""
    color = drawings("a", 6, (96, 96), ("color", "tone"))
    write_folder(tmp_path / "a", color)
    (tmp_path / "a" / "images" / "000-edit.jpg").write_bytes(b"broken")
    same = drawings("b", 6, (96, 96), ("color", "tone"))
    write_folder(tmp_path / "b", [replace(edit, edit=edit.source) if edit.task == "color" else edit for edit in same])
    folder = (str(tmp_path / "a"), str(tmp_path / "b"))
    only = ",".join(f"{task}={5 * (task in ('color', 'tone'))}" for task in TASKS)
    made = Ingest(folder=folder, count=16, min_side=64, tasks=only, per_instruction=12, disagree="corpus")
    selection = choose(made, tmp_path / "aside")
    train, _ = splits(selection, 0)
    assert sum(one.cell[1] == "color" for one in train) == 5, "of 12, 6 are no edits and one is broken"
    assert sum(one.cell[1] == "tone" for one in train) == 8
    _, reasons = selection.screened
    assert sorted(reason.split(" (")[0] for reason in reasons.values()) == sorted(
        ["edit: corrupt image"] + 6 * ["no visible edit: ingest.min_change"]
    )


def settings(corpora: Path, run_dir: Path, *more: str) -> list[str]:
    named = [f"ingest.{name}={corpora / name}" for name in NAMES]
    return [f"run.dir={run_dir}", *named, "ingest.count=44", "ingest.heldout=11", "ingest.min_side=64", *more]


def outputs(run_dir: Path) -> dict[str, bytes]:
    made = {path.name: path.read_bytes() for path in (run_dir / "triplets").iterdir()}
    return {name: data.replace(str(run_dir).encode(), b"RUN") for name, data in made.items()}


@pytest.mark.long
@pytest.mark.ray
@pytest.mark.slow
def test_a_killed_run_ends_in_the_same_bytes_and_precompute_reads_them(
    corpora: Path, tmp_path: Path, random_family: Path, cluster, capsys
):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    bad = corpora / "hqedit" / "data" / "truncated.parquet"
    bad.write_bytes((corpora / "hqedit/data/train-00000-of-00190.parquet").read_bytes()[:5_000])
    process = start("ingest.py", settings(corpora, killed, "ingest.readers=1"))
    kill_once(process, lambda: any(killed.glob("ingest/*/images/*.parquet")))
    asides = {path.name: path.read_bytes() for path in killed.glob("ingest/*/images/*.parquet")}
    assert asides and not (killed / "triplets").exists(), "the kill was meant to fall into the image stage"
    for folder in (killed, whole):
        ingest.run(parse(settings(corpora, folder)))
    assert outputs(killed) == outputs(whole)
    assert not list(killed.glob("ingest/*/images")), "what was put aside is gone"
    said = capsys.readouterr().out
    assert "left out" in said and "truncated.parquet" in said and "CC BY-NC" in said and "percent points" in said

    told = read_json(str(whole / "triplets" / "manifest.json"))
    assert told["outputs"]["train"]["rows"] == 44 and told["outputs"]["heldout"]["rows"] == 11
    assert sum(row["got"] for row in told["tasks"].values()) == 55
    assert {name: corpus["licence"] for name, corpus in told["corpora"].items()} == {
        name: CORPORA[name].licence for name in NAMES
    }
    assert any("truncated" in row["id"] for row in read_rejected(str(whole)))
    stamps = [path.stat().st_mtime_ns for path in (whole / "triplets").iterdir()]
    ingest.run(parse(settings(corpora, whole)))
    assert [path.stat().st_mtime_ns for path in (whole / "triplets").iterdir()] == stamps, "nothing is left to do"

    with pytest.raises(ValueError, match=r"heldout\.parquet is of an earlier set"):
        ingest.run(parse([*settings(corpora, whole)[:-2], "ingest.min_side=64"]))

    config = parse(
        [f"run.dir={whole}", f"models.student={random_family / 'tiny-wan-i2v'}", "data.limit=12", "precompute.actors=1"]
    )
    check_stages(config)


def check_stages(config: Config) -> None:
    """caption.py's reader and precompute.py itself take what ingest wrote."""
    path = f"{config.run.dir}/triplets/train.parquet"
    asked = read_instructions(path, config.data.limit)
    assert len(asked) == 12 and all(task in TASKS and text for _, text, task in asked)
    captions = [
        {"id": key, "instruction": text, "caption": f"{text}, slowly.", "task": task, "origin": "template"}
        for key, text, task in asked
    ]
    write_captions(f"{config.run.dir}/captions.parquet", captions)
    precompute.run(config)
    store = Store.open(config)
    assert store.ids() == sorted(key for key, _, _ in asked)
    assert {text.corpus for text in store.texts().values()} <= set(NAMES)
    row = pq.read_table(path).to_pylist()[0]
    assert row["omni_edit_id"] == f"{row['corpus']}/{row['corpus_id']}"
    assert row["agreement"] in ("agree", "rules", "corpus")
    [first, *_] = rows(parts(path)[0])
    assert (first.corpus, first.source) == (row["corpus"], row["src_img"]["bytes"])


@pytest.mark.slow
def test_a_file_of_another_program_is_not_written_over(corpora: Path, tmp_path: Path):
    write_all(tmp_path / "x", per_task=1, scale=0.1)
    mine = tmp_path / "x" / "omniedit" / "data" / "train-00000-of-00571.parquet"
    before = mine.read_bytes()
    with pytest.raises(ValueError, match=r"was not made by ingest: .*run\.overwrite=true"):
        ingest.run(parse(settings(corpora, tmp_path / "run", f"data.train={mine}")))
    assert mine.read_bytes() == before
    with pytest.raises(ValueError, match="was not made by ingest"):
        ingest.run(parse(settings(corpora, tmp_path / "run", f"data.train={mine.parent}")))
    with pytest.raises(ValueError, match=r"data\.train.* is a file, expected a folder"):
        ingest.run(parse(settings(corpora, tmp_path / "run", f"data.train={mine}/train.parquet")))


def test_reasons_are_counted_without_numbers_and_names():
    assert kind("source: 160 x 63: a side is below ingest.min_side") == "source: N x N: a side is below ingest.min_side"
    assert kind("shares an image with hqedit/a:1") == "shares an image with another triplet"
    assert kind("edit: corrupt image (OSError: 3 bytes)") == "edit: corrupt image"


def test_the_world_is_a_corpus_too(tmp_path: Path):
    """Its labels are tasks of ours; its images are smaller than what is asked for by default."""
    write_split(str(tmp_path / "world.parquet"), "train", 2, 0)
    [file], _ = corpus_files(Ingest(triplets=(str(tmp_path / "world.parquet"),)))
    for side, passed in ((32, 22), (33, 0)):
        made = Ingest(triplets=(file.uri,), count=22, min_side=side, disagree="corpus", unsure="keep")
        found = scan(file, Policy(ingest=made, seed=0, keep=kept(made), refused=frozenset()))
        assert found.passed.total() == passed
