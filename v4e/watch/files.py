"""The files of a run's strips: ``samples/step-000200.png`` and ``samples.jsonl``, on any filesystem."""

import json
import re

from v4e.config import Config
from v4e.files.journal import Record, read
from v4e.files.uri import finite, join, numbers_in, remove, write_atomic

NAME = re.compile(r"step-(\d{6,})\.png")


def strip_uri(config: Config, step: int) -> str:
    """The picture of the strip of `step`."""
    return join(config.run.dir, "samples", f"step-{step:06d}.png")


def strip_steps(config: Config) -> list[int]:
    """The steps that have a picture, rising."""
    return numbers_in(join(config.run.dir, "samples"), NAME)


def read_curves(config: Config) -> list[Record]:
    """Reads the figures of the strips, a record each, in order."""
    return read(_curves_uri(config))


def add_to_curves(config: Config, record: Record) -> None:
    """Adds a record. The file is written anew each time: it is small, and object stores cannot append."""
    _write_curves(config, [*read_curves(config), record])


def rewind(config: Config, step: int) -> None:
    """Drops what the strips after `step` left; all of them where the run begins, for it makes that of step 0 anew."""
    kept = step or -1
    records = read_curves(config)
    if any(record["step"] > kept for record in records):
        _write_curves(config, [record for record in records if record["step"] <= kept])
    for late in strip_steps(config):
        if late > kept:
            remove(strip_uri(config, late))


def _curves_uri(config: Config) -> str:
    return join(config.run.dir, "samples.jsonl")


def _write_curves(config: Config, records: list[Record]) -> None:
    write_atomic(_curves_uri(config), "".join(json.dumps(finite(record)) + "\n" for record in records).encode())
