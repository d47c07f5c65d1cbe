"""Writes small files of every public corpus in its exact schema, to look at and to try ingest on."""

from pathlib import Path

import pyarrow.parquet as pq

from v4e.config.commands import Fixtures
from v4e.data.ingest.fixtures import write_all


def run(options: Fixtures) -> None:
    """Write the files, print their schemas and the command that ingests them."""
    out = Path(options.out)
    write_all(out)
    for path in sorted(out.rglob("*.parquet")):
        print(f"\n{path}, {pq.read_metadata(path).num_rows} rows")
        print("\n".join(f"    {field.name}: {field.type}" for field in pq.read_schema(path)))
    print(f"\n{out}/gptedit and {out}/folder: images in files, JSON beside them")
    keys = " ".join(f"ingest.{folder.name}={folder}" for folder in sorted(out.iterdir()) if folder.is_dir())
    print(f"\nv4e ingest run.dir=runs/fixtures ingest.count=66 ingest.heldout=11 {keys}")
