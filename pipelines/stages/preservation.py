"""Preservation and reference metrics of edits that exist already, without a judge.

Reads bench.pairs (JSON Lines, or PIE-Bench's mapping_file.json with bench.edits) and writes preservation.jsonl and
preservation.json below <bench.dir>. Encoders come from the folders bench.clip, bench.dino, bench.pie_clip,
bench.pie_dino and bench.lpips.
"""

import json
import statistics
from collections import Counter
from pathlib import Path

from v4e.config import Config
from v4e.evaluation.suites.pairs import BadPair, EditedPair, Tools, load_tools, measure, read
from v4e.evaluation.suites.places import bench_dir
from v4e.faults import Fault
from v4e.files.progress import bar, plan, say
from v4e.files.uri import join, write_atomic, write_json_atomic

TOLD = 5  # reasons that are printed, the commonest first


def run(config: Config) -> None:
    """Measures every pair; one that cannot be read is recorded with its reason.

    Raises:
        FileNotFoundError: the pairs, or an encoder's folder, are not there.
        ValueError: there is no pair.
    """
    bench = config.bench
    if not bench.pairs or not Path(bench.pairs).is_file():
        raise FileNotFoundError(
            f"bench.pairs={bench.pairs}: expected a JSON Lines file, or PIE-Bench's mapping_file.json"
        )
    tools = load_tools(bench)
    pairs = list(read(bench.pairs, bench.edits.partition(":")[2] or bench.edits))[: bench.limit or None]
    if not pairs:
        raise Fault(
            "P01", f"bench.pairs={bench.pairs} names no pair: expected a JSON object with source and edit a line"
        )
    rows = []
    with bar("pairs", len(pairs), unit="pairs") as advance:
        for pair in pairs:
            rows.append(_row(pair, tools))
            advance(1)
    names = dict.fromkeys(name for row in rows for name in row["figures"])
    found = {name: [row["figures"][name] for row in rows if name in row["figures"]] for name in names}
    table = {
        name: {"mean": statistics.fmean(values), "n_scored": len(values), "n_total": len(rows)}
        for name, values in found.items()
    }
    write_atomic(join(bench_dir(config), "preservation.jsonl"), "".join(json.dumps(r) + "\n" for r in rows).encode())
    write_json_atomic(join(bench_dir(config), "preservation.json"), table)
    plan(
        "preservation",
        {name: f"{f['mean']:.4f} ({f['n_scored']}/{f['n_total']})" for name, f in table.items()}
        | {"failed": f"{sum(bool(r['reason']) for r in rows)} of {len(rows)}", "output": bench_dir(config)},
    )
    told = Counter(r["reason"] or r["note"] for r in rows)
    for reason, count in [one for one in told.most_common() if one[0]][:TOLD]:
        say(f"  {count} of {len(rows)}: {reason}")


def _row(pair: EditedPair | BadPair, tools: Tools) -> dict[str, object]:
    if isinstance(pair, BadPair):
        return {"id": pair.id, "group": "", "figures": {}, "reason": pair.reason, "note": ""}
    figures, reason, note = {}, "", ""
    try:
        figures, note = measure(pair, tools)
    except (OSError, ValueError) as error:
        reason = str(error)
    return {"id": pair.id, "group": pair.group, "figures": figures, "reason": reason, "note": note}
