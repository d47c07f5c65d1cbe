"""The simulation of v4e/planning/simulation: its costs, its predictions of measured runs, and 10^4 to 10^8 triplets.

Costs are in CPU time, because the machine may be busy. The pool's one process is measured for a target, and the driver
of `v4e rollout` for a rollout of 5 x 480 x 832. A core is measured for a triplet's two images of 1024 x 1024.
Validation puts predictions from measured parts beside what whole runs took (other files of benchmarks/results).
Points are recipe wan14b_480p on 8 to 4,096 H100s, at stated speeds, with networks of 50 and 400 GB/s a node. Plots are
written to docs/img/scale-*.png.

`python -m benchmarks.studies.scale [costs] [validation] [points]` does only these, and keeps the rows of the others.
"""

import math
import random
import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median

from benchmarks.studies.scale_costs import measure_costs
from benchmarks.studies.scale_validation import rows_of, validate
from benchmarks.support.daly import expected_seconds
from benchmarks.support.result import RESULTS, write_result
from benchmarks.support.scale_plots import plots
from benchmarks.support.stub_pool import show
from v4e.config import parse
from v4e.models import sizes
from v4e.planning.gpus import cluster_of
from v4e.planning.simulation.faults import best_interval, train_through
from v4e.planning.simulation.pipeline import Simulated, simulate

GPUS, TRIPLETS = (8, 32, 128, 512, 1024, 4096), (10**4, 10**5, 10**6, 10**7, 10**8)
SHOWN = 10**7  # triplets, of which both networks are shown
NETWORKS = {50.0: (SHOWN,), 400.0: TRIPLETS}  # GB/s a node
MTBFS, RUNS = (2_000.0, 10_000.0, 50_000.0), 100  # hours of a GPU, simulated trainings


def measure_points() -> list[dict]:
    """A row for every number of triplets and GPUs, of one number for both networks; then training with faults."""
    rows = []
    for network, numbers in NETWORKS.items():
        for triplets in numbers:
            for gpus in GPUS:
                found = point(gpus, triplets, network)
                rows.append(show(row_of(found, network)))
                if network == max(NETWORKS) and triplets == SHOWN:
                    rows += [show(with_faults(found, mtbf_h)) for mtbf_h in MTBFS]
    return rows


def point(gpus: int, triplets: int, network: float) -> Simulated:
    """One simulation."""
    config = parse(
        [
            "recipe=wan14b_480p",
            "plan.gpu=h100",
            f"plan.gpus={gpus}",
            f"plan.triplets={triplets}",
            f"plan.network_gb_s={network}",
            "scale.runs=1",
        ]
    )
    cluster = cluster_of(config.plan)
    assert cluster is not None
    student, teacher = (
        sizes.pipeline(getattr(config.models, side), f"models.{side}") for side in ("student", "teacher")
    )
    return simulate(config, student, teacher, cluster)


def row_of(found: Simulated, network: float) -> dict:
    return {
        "part": "point",
        "network_gb_s": network,
        "triplets": found.triplets,
        "gpus": found.gpus,
        "workers": found.layout.config.train.workers,
        "replicas": found.layout.plan.replicas,
        "hours": found.seconds / 3600,
        "gpu_hours": found.gpu_hours,
        "triplets_per_s": found.triplets / found.seconds,
        "first_limit": found.bottleneck,
        "useful": found.useful,
        "samples_per_s": found.layout.config.train.workers / found.step_s,
        "edits_per_s": found.gpus / found.edit_s,
        **{f"{name}_h": part.seconds / 3600 for name, part in found.stages.items()},
        **{f"{name}_limit": part.bottleneck for name, part in found.stages.items()},
    }


def with_faults(found: Simulated, mtbf_h: float) -> dict:
    """Training of a point as another rate of faults would have it, and Daly's closed form."""
    mtbf_s = mtbf_h * 3600 / found.gpus
    every_s = min(best_interval(found.job.blocked_s, mtbf_s), found.job.work_s)
    job = replace(found.job, mtbf_s=mtbf_s, every_s=every_s, teacher_mtbf_s=math.inf)
    draws = random.Random(f"{found.gpus} {mtbf_h}")
    seconds = fmean(train_through(job, draws).seconds for _ in range(RUNS))
    expected = expected_seconds(job.work_s, every_s, job.blocked_s, job.restart_s, mtbf_s)
    return {
        "part": "faults",
        "gpus": found.gpus,
        "mtbf_h": mtbf_h,
        "every_s": every_s,
        "useful": job.work_s / seconds,
        "useful_daly": job.work_s / expected,
    }


def main() -> None:
    asked_for = sys.argv[1:] or ["costs", "validation", "points"]
    old = rows_of("scale") if (RESULTS / "scale.json").exists() else []

    def kept(*parts: str) -> list[dict]:
        return [row for row in old if row["part"] in parts]

    costs = measure_costs() if "costs" in asked_for else kept("costs")
    by = {row["what"]: row["ms"] for row in costs}
    validation = validate(by["request_ms"]) if "validation" in asked_for else kept("validation")
    for row in (*costs, *validation):
        show(row)
    points = measure_points() if "points" in asked_for else kept("point", "faults")
    errors = [abs(row["error"]) for row in validation]
    write_result(
        "scale",
        "python -m benchmarks.studies.scale",
        [*costs, *validation, *points],
        {
            **{name: round(ms, 3) for name, ms in by.items()},
            "validation_rows": len(errors),
            "error_median": round(median(errors), 3),
            "error_max": round(max(errors), 3),
        },
    )
    plots(points, Path(__file__).parent.parent.parent / "docs" / "img")


if __name__ == "__main__":
    main()
