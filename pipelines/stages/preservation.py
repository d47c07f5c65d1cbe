"""Preservation and reference metrics of edits that exist already, without a judge.

Reads bench.pairs (JSON Lines, or PIE-Bench's mapping_file.json with bench.edits) and writes preservation.jsonl and
preservation.json below <bench.dir>. Encoders come from the folders bench.clip, bench.dino, bench.pie_clip,
bench.pie_dino and bench.lpips.
"""

import json
import statistics
from pathlib import Path

from v4e.config import Config
from v4e.evaluation.suites.pairs import load_tools, measure, read
from v4e.evaluation.suites.places import bench_dir
from v4e.files.progress import bar, plan
from v4e.files.uri import join, write_atomic, write_json_atomic


def run(config: Config) -> None:
    """Measures every pair; one that cannot be read is recorded with its reason.

    Raises:
        FileNotFoundError: the pairs, or an encoder's folder, are not there.
    """
    bench = config.bench
    if not bench.pairs or not Path(bench.pairs).is_file():
        raise FileNotFoundError(
            f"bench.pairs={bench.pairs}: expected a JSON Lines file, or PIE-Bench's mapping_file.json"
        )
    tools = load_tools(bench)
    pairs = list(read(bench.pairs, bench.edits))[: bench.limit or None]
    rows = []
    with bar("pairs", len(pairs), unit="pairs") as advance:
        for pair in pairs:
            try:
                rows.append({"id": pair.id, "group": pair.group, "figures": measure(pair, tools), "reason": ""})
            except (OSError, ValueError) as error:
                rows.append({"id": pair.id, "group": pair.group, "figures": {}, "reason": str(error)})
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
