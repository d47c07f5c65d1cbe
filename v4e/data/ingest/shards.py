"""Scans on disk, one file each, so that a killed run continues. They hold arrays and JSON, and no pickle."""

import io
import json
from collections import Counter

import numpy as np

from v4e.data.ingest.scan import Policy, Scan, scan
from v4e.data.sources.files import CorpusFile
from v4e.files.uri import exists, join, open_uri, write_atomic

COUNTS = "counts"
COUNTERS = ("passed", "dropped", "agreement")


def scan_uri(folder: str, file: CorpusFile) -> str:
    return join(folder, f"{file.number:06d}.npz")


def scan_to(folder: str, policy: Policy, file: CorpusFile) -> None:
    """Scans `file` and writes the result; does nothing if that was done before."""
    uri = scan_uri(folder, file)
    if exists(uri):
        return
    found = scan(file, policy)
    counts = {name: [[*key, n] for key, n in sorted(getattr(found, name).items())] for name in COUNTERS}
    text = json.dumps(counts | {"damaged": found.damaged})
    buffer = io.BytesIO()
    arrays = {"/".join(cell): array for cell, array in found.candidates.items()}
    np.savez(buffer, allow_pickle=False, **{COUNTS: np.array(text)}, **arrays)
    write_atomic(uri, buffer.getvalue())


def read_scan(folder: str, file: CorpusFile) -> Scan:
    """Reads the file that :func:`scan_to` wrote."""
    with open_uri(scan_uri(folder, file)) as opened:
        arrays = dict(np.load(io.BytesIO(opened.read()), allow_pickle=False))
    counts = json.loads(str(arrays.pop(COUNTS)))
    passed, dropped, agreement = (Counter({(a, b): n for a, b, n in counts[name]}) for name in COUNTERS)
    return Scan(
        candidates={(name.split("/")[0], name.split("/")[1]): array for name, array in arrays.items()},
        passed=passed,
        dropped=dropped,
        agreement=agreement,
        damaged=tuple((where, reason) for where, reason in counts["damaged"]),
    )
