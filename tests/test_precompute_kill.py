"""pipelines/precompute.py killed by SIGKILL in the middle: the next run goes on, and the store is the same to the byte."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from triplets import encoded, triplet

from v4e.data.captions import write_captions
from v4e.data.reject import read_rejected
from v4e.data.write import SCHEMA, write_triplets

ROOT = Path(__file__).resolve().parent.parent
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
    captions = [{"id": row["omni_edit_id"], "instruction": row["edited_prompt_list"][0]} for row in rows]
    texts = np.random.default_rng(0).permutation(COUNT)
    made = {"task": "color", "origin": "template"}
    write_captions(
        str(folder / "captions.parquet"),
        [row | made | {"caption": f"The circle slowly takes color {n}."} for row, n in zip(captions, texts, strict=True)],
    )


def command(folder: Path, student: Path) -> list[str]:
    settings = {
        "run.dir": folder,
        "models.student": student,
        "precompute.readers": 1,
        "precompute.actors": 1,
        "precompute.batch": BATCH,
    }
    script = str(ROOT / "pipelines" / "precompute.py")
    return [sys.executable, script, *(f"{key}={value}" for key, value in settings.items())]


def store_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "store" / "samples").glob("*.safetensors")}


@pytest.mark.ray
@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_the_same(random_family: Path, tmp_path: Path):
    student = random_family / "tiny-wan-i2v"
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    env = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | {"OMP_NUM_THREADS": "1"}
    for folder in (whole, killed):
        write_run(folder)

    process = subprocess.Popen(command(killed, student), env=env, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while not store_bytes(killed) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(1.0)  # its workers notice
    before = store_bytes(killed)
    assert 0 < len(before) < COUNT - len(CORRUPT), "the kill was meant to fall into the middle"

    for folder in (killed, whole):
        subprocess.run(command(folder, student), env=env, check=True, stdout=subprocess.DEVNULL, timeout=240)
    after = store_bytes(killed)
    assert {name: after[name] for name in before} == before
    assert after == store_bytes(whole) and len(after) == COUNT - len(CORRUPT)
    assert read_rejected(str(killed)) == read_rejected(str(whole))
    assert [row["id"] for row in read_rejected(str(whole))] == list(CORRUPT)
