"""Rows/s and peak memory of ingest's label stage on 10^4, 10^5 and 10^6 generated label rows.

Classifies, gates and ranks every row and fits the quotas, in one process a size, without Ray: what one reader does. The
rows have OmniEdit's, HQ-Edit's and UltraEdit's columns, a third each, image columns empty, most instructions distinct.
`python -m benchmarks.data.ingest [largest]`.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.support.resident import clear_peak, resident_mib
from benchmarks.support.result import write_result
from v4e.config import Ingest
from v4e.data.ingest.drawing import COLORS, PHRASES, THINGS
from v4e.data.ingest.fixtures import HQEDIT, OMNIEDIT, ULTRAEDIT
from v4e.data.ingest.scan import Policy, merge_scans, scan
from v4e.data.ingest.select import Selection, kept
from v4e.data.sources.files import corpus_files
from v4e.data.write import SCHEMA
from v4e.language.tasks import TASKS

SIZES = (10_000, 100_000, 1_000_000)
FILE_ROWS = 20_000
REPEATS = 3
PLACES = ("kitchen", "street", "garden", "harbor", "meadow", "office", "market", "station", "forest", "island")
KINDS = ("old", "small", "tall", "shiny", "striped", "broken", "wooden", "quiet", "heavy", "second", "third", "other")


def instruction(rng: Random, task: str) -> str:
    """One of millions."""
    c, d = rng.sample(sorted(COLORS), 2)
    t, u = (f"{rng.choice(KINDS)} {thing}" for thing in rng.sample(THINGS, 2))
    text = rng.choice(PHRASES[task]).format(c=c, d=d, t=t, u=u, s=rng.choice(("left", "right")))
    return text if text.endswith(("'", '"')) else f"{text} in the {rng.choice(PLACES)} {rng.randrange(1000)}"


def omniedit_row(rng: Random, number: int) -> dict:
    task = rng.choice(sorted(OMNIEDIT))
    label, start = OMNIEDIT[task]
    return {
        "omni_edit_id": f"{start}_{number}",
        "task": label,
        "edited_prompt_list": [instruction(rng, task), "another phrasing"],
        "width": rng.choice((1024, 400)),
        "height": 1024,
        "o_score": rng.choice((None, 6.5, 7.5, 8.0, 9.0)),
    }


def hqedit_row(rng: Random, _number: int) -> dict:
    return {"edit": instruction(rng, rng.choice(TASKS)), "inverse_edit": instruction(rng, rng.choice(TASKS))}


def ultraedit_row(rng: Random, number: int) -> dict:
    scores = {name: rng.random() / 2 for name in ("clip_sim_dir", "dinov2_sim", "ssim")}
    return {"idx": number, "edit_prompt": instruction(rng, rng.choice(TASKS)), **scores}


CORPORA = {
    "omniedit": (SCHEMA, omniedit_row),
    "hqedit": (HQEDIT, hqedit_row),
    "ultraedit": (ULTRAEDIT, ultraedit_row),
}


def write_rows(folder: Path, count: int) -> None:
    """`count` rows, a third of each corpus, in files of at most FILE_ROWS."""
    rng = Random(0)
    for at, (name, (schema, row)) in enumerate(CORPORA.items()):
        mine = count // 3 + (at < count % 3)
        (folder / name).mkdir(parents=True)
        for number, start in enumerate(range(0, mine, FILE_ROWS)):
            rows = [row(rng, n) for n in range(start, min(mine, start + FILE_ROWS))]
            pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / name / f"{number:04d}.parquet")


def measure(folder: Path) -> dict:
    """One pass over the files below `folder`, in this process."""
    ingest = Ingest(**{name: (str(folder / name),) for name in CORPORA})
    clear_peak()  # importing torch takes more than the work
    before, start, cpu_start = round(resident_mib("VmHWM"), 1), time.perf_counter(), time.process_time()
    files, _ = corpus_files(ingest)
    policy = Policy(ingest=ingest, seed=0, keep=kept(ingest), refused=frozenset())
    found = merge_scans((scan(file, policy) for file in files), policy)
    none = np.array([], np.uint64)
    selection = Selection(ingest=ingest, corpora=tuple(CORPORA), candidates=found.candidates, excluded=none)
    wanted = int(selection.wanted_SK.sum())
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    return {
        "rows": sum(file.rows for file in files),
        "edits": found.agreement.total(),
        "passed": found.passed.total(),
        "candidates": sum(len(found) for found in found.candidates.values()),
        "wanted": wanted,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "before_mib": before,
        "rss_mib": round(resident_mib("VmHWM"), 1),
    }


def main() -> None:
    if len(sys.argv) == 3 and sys.argv[1] == "--folder":
        print(json.dumps(measure(Path(sys.argv[2]))))
        return
    sizes = [size for size in SIZES if size <= (int(sys.argv[1]) if len(sys.argv) > 1 else SIZES[-1])]
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for size in sizes:
            write_rows(Path(temporary, str(size)), size)
        for _ in range(REPEATS):
            for size in sizes:
                command = [sys.executable, "-m", "benchmarks.data.ingest", "--folder", str(Path(temporary, str(size)))]
                rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))

    def of(size: int, name: str) -> list[float]:
        return [row[name] for row in rows if row["rows"] == size]

    def grown(size: int) -> float:
        both = zip(of(size, "before_mib"), of(size, "rss_mib"), strict=True)
        return round(median(after - before for before, after in both), 1)

    exponent = len(str(sizes[-1])) - 1
    pairs = zip(of(sizes[0], "rss_mib"), of(sizes[-1], "rss_mib"), strict=True)
    write_result(
        "data",
        "python -m benchmarks.data.ingest",
        rows,
        {
            "rows_per_s": round(sizes[-1] / median(of(sizes[-1], "seconds"))),
            "rows_per_cpu_s": round(sizes[-1] / median(of(sizes[-1], "cpu_seconds"))),
            f"rss_1e{exponent}_over_1e4": round(median(large / small for small, large in pairs), 3),
            "seconds_largest": median(of(sizes[-1], "seconds")),
            "rss_mib_largest": median(of(sizes[-1], "rss_mib")),
            "before_mib": median(of(sizes[-1], "before_mib")),
            "grown_mib_1e4": grown(sizes[0]),
            f"grown_mib_1e{exponent}": grown(sizes[-1]),
        },
    )


if __name__ == "__main__":
    main()
