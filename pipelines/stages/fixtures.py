"""Writes a few made-up edits in the exact schema of every public corpus, or in the layouts of the benchmarks.

v4e fixtures OUT                    to look at, and to try ingest on

v4e fixtures OUT kind=benchmarks    the benchmarks with rows of our own, to try v4e benchmark on
"""

from pathlib import Path

import pyarrow.parquet as pq

from pipelines.parts import benchmark_fixture
from v4e.config.commands import FixturesOptions
from v4e.data.ingest.fixtures import write_all


def run(options: FixturesOptions) -> None:
    """Write the files; of corpora, print their schemas and the command that ingests them."""
    out = Path(options.out)
    if options.kind == "benchmarks":
        benchmark_fixture.write(out, options.rows)
        print(f"written to {out}; docs/evaluating.md says what to do with it")
        return
    write_all(out)
    for path in sorted(out.rglob("*.parquet")):
        print(f"\n{path}, {pq.read_metadata(path).num_rows} rows")
        print("\n".join(f"    {field.name}: {field.type}" for field in pq.read_schema(path)))
    print(f"\n{out}/gptedit and {out}/folder: images in files, JSON beside them")
    keys = " ".join(f"ingest.{folder.name}={folder}" for folder in sorted(out.iterdir()) if folder.is_dir())
    print(f"\nv4e ingest run.dir=runs/fixtures ingest.count=66 ingest.heldout=11 {keys}")
