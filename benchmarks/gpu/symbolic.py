"""The GPU path at 14B's true sizes, on tensors without numbers: FLOPs, bytes, waits and memory against the plan.

Nothing here runs on a GPU. torch's CPU build is made to believe in one (benchmarks/support/pretended), so figures are
of operators: neither the allocator's fragments nor the workspaces of cuBLAS, cuDNN and NCCL are in them, for which the
plan leaves room. A row says how many blocks its transformer has, and the plan is that of as many.
`python -m benchmarks.gpu.symbolic [PART...]` does only these parts, and keeps the rows of the others.
"""

import sys

from benchmarks.support.pretended.seen import GIB, Case, Seen
from benchmarks.support.pretended.server import Server
from benchmarks.support.result import RESULTS, write_result
from v4e.files.uri import read_json

MIB = 2**20


WHOLE, SOME = 40, 4  # blocks
# Of each row: the case of benchmarks/support/pretended/cases.py, its part, blocks, and what differs from the recipe.
ASKED: dict[str, tuple[str, str, int, list[str]]] = {}
for size in ("480p", "720p"):
    recipe = f"recipe=wan14b_{size}"
    ASKED |= {
        f"target {size}": ("teacher", "forward", WHOLE, [recipe]),
        f"student {size}": ("student", "step", WHOLE, [recipe]),
        f"student {size}, tail in pixels": ("student", "step", SOME, [recipe, "tail.space=pixel"]),
        f"edit {size}": ("editor", "edit", WHOLE, [recipe]),
        f"precompute {size}": ("precompute", "encode", 0, [recipe, "precompute.batch=2"]),
    }
ASKED |= {
    "target 480p, 2 ranks": ("teacher", "forward", WHOLE, ["recipe=wan14b_480p", "teacher.tp=2"]),
    "student 480p, LoRA": ("student", "step", SOME, ["recipe=wan14b_lora"]),
    "student 480p, moments away": ("student", "step", SOME, ["recipe=wan14b_480p", "train.offload=optimizer"]),
    "student 480p, all away": ("student", "step", WHOLE, ["recipe=wan14b_480p", "train.offload=all"]),
}


def row_of(name: str, server: Server) -> dict:
    """A row of the result file."""
    what, part, blocks, arguments = ASKED[name]
    case: Case = server(what, *arguments, **({"layers": blocks} if blocks else {}))
    seen: Seen = case.parts[part]
    return {
        "part": name,
        "blocks": blocks,
        "tflop": round(seen.flops / 1e12, 1),
        "in_mib": round(seen.moved_in.total() / MIB, 1),
        "out_mib": round(seen.moved_out.total() / MIB, 1),
        "syncs": seen.syncs,
        "blocking_copies": seen.blocking.total(),
        "mismatched": seen.mismatched.total(),
        "peak_gib": round(seen.peak / GIB, 2),
        "planned_gib": round(case.planned / GIB, 2),
    }


def summary_of(rows: list[dict]) -> dict[str, float]:
    """Returns how far the plan is off at most, and the waits of what has nothing in host memory."""
    syncs = {what: [row["syncs"] for row in rows if row["part"].startswith(what)] for what in ("student", "target")}
    return {
        "plan_error_max": round(max(abs(row["planned_gib"] / row["peak_gib"] - 1) for row in rows), 3),
        "syncs_student": min(syncs["student"], default=0),  # what is kept in host memory waits more often
        "syncs_teacher": max(syncs["target"], default=0),
        "mismatched": sum(row["mismatched"] for row in rows),
        "cases": len(rows),
    }


def main() -> None:
    wanted = sys.argv[1:]
    file = RESULTS / "symbolic.json"
    rows = {row["part"]: row for row in (read_json(str(file))["rows"] if file.exists() else [])}
    with Server() as server:
        for name in ASKED:
            if wanted and not any(name.startswith(word) for word in wanted):
                continue
            rows[name] = row_of(name, server)
            print(rows[name], flush=True)
            ordered = [rows[each] for each in ASKED if each in rows]
            write_result("symbolic", "python -m benchmarks.gpu.symbolic", ordered, summary_of(ordered))


if __name__ == "__main__":
    main()
