"""pipelines/precompute.py killed in the middle: the next run goes on, and the store is the same to the byte."""

import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.stages.precompute import run
from tests.support.processes import kill_once, start
from tests.support.triplets import encoded, triplet
from v4e.config import parse
from v4e.data.captions_table import read_captions, write_captions
from v4e.data.reject import read_rejected, record_rejected
from v4e.data.sources import parts
from v4e.data.store.jobs import DUPLICATE, STAGE, plan_work
from v4e.data.store.store import Store, Texts
from v4e.data.write import SCHEMA, write_triplets

COUNT, BATCH = 40, 4
CORRUPT = ("t/002", "t/021")


def write_run(folder: Path) -> None:
    """COUNT triplets with captions, two of them with half an image."""
    path = folder / "triplets" / "train.parquet"
    write_triplets(str(path), [triplet(n) for n in range(COUNT)])
    rows = pq.read_table(path).to_pylist()
    for row in rows:
        if row["omni_edit_id"] in CORRUPT:
            row["edited_img"] = {"bytes": encoded(triplet(1).edit)[:500], "path": None}
    with pq.ParquetWriter(path, SCHEMA) as writer:  # small row groups: several tasks for the readers
        for at in range(0, COUNT, 2 * BATCH):
            writer.write_table(pa.Table.from_pylist(rows[at : at + 2 * BATCH], schema=SCHEMA))
    captions = [
        {
            "id": row["omni_edit_id"],
            "instruction": row["edited_prompt_list"][0],
            "caption": f"The circle slowly takes color {row['omni_edit_id']}.",
            "task": "color",
            "origin": "template",
        }
        for row in rows
    ]
    write_captions(str(folder / "captions.parquet"), captions)


def settings(folder: Path, student: Path) -> list[str]:
    values = {
        "run.dir": folder,
        "models.student": student,
        "precompute.readers": 1,
        "precompute.actors": 1,
        "precompute.batch": BATCH,
    }
    return [f"{key}={value}" for key, value in values.items()]


def store_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "store" / "samples").glob("*.safetensors")}


@pytest.mark.long
@pytest.mark.ray
@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_the_same(random_family: Path, tmp_path: Path, cluster):
    student = random_family / "tiny-wan-i2v"
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        write_run(folder)

    kill_once(start("precompute.py", settings(killed, student)), lambda: bool(store_bytes(killed)))
    time.sleep(1.0)  # its workers notice
    before = store_bytes(killed)
    assert 0 < len(before) < COUNT - len(CORRUPT), "the kill was meant to fall into the middle"

    for folder in (killed, whole):
        run(parse(settings(folder, student)))
    after = store_bytes(killed)
    assert {name: after[name] for name in before} == before
    assert after == store_bytes(whole) and len(after) == COUNT - len(CORRUPT)
    assert read_rejected(str(killed)) == read_rejected(str(whole))
    assert [row["id"] for row in read_rejected(str(whole))] == list(CORRUPT)


def test_rejected_triplets_keep_their_place_in_the_chunks(tmp_path: Path):
    """Else the triplets behind them would be encoded in other company than in an undisturbed run."""
    write_run(tmp_path)
    corpus = parts(str(tmp_path / "triplets" / "train.parquet"))
    captions = read_captions(str(tmp_path / "captions.parquet"))
    first, again = (plan_work(corpus, captions, {}, BATCH, skip=skip) for skip in ((), CORRUPT))
    assert [[item.id for item in chunk] for job in again.jobs for chunk in job.chunks] == [
        [item.id for item in chunk] for job in first.jobs for chunk in job.chunks
    ]
    assert (first.missing, again.missing) == (COUNT, COUNT - len(CORRUPT))
    done = {
        key: Texts(instruction=row["instruction"], caption=row["caption"], task="color")
        for key, row in captions.items()
    }
    for key in CORRUPT:
        del done[key]
    assert plan_work(corpus, captions, done, BATCH, skip=CORRUPT).jobs == (), "they are not looked at again"


@pytest.mark.ray
def test_the_first_triplet_of_a_doubled_id_is_not_lost(random_family: Path, tmp_path: Path, cluster):
    write_run(tmp_path)
    write_triplets(str(tmp_path / "triplets" / "train.parquet"), [triplet(0), triplet(3), triplet(0)])
    config = parse(settings(tmp_path, random_family / "tiny-wan-i2v"))
    record_rejected(config.run.dir, [{"id": "t/000", "stage": STAGE, "reason": DUPLICATE}])  # then killed
    run(config)
    assert Store.open(config).ids() == ["t/000", "t/003"]
