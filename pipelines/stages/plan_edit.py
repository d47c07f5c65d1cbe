"""Says whether an edit by Wan2.1-14B fits on a GPU, and how fast it is there: every way, with its GiB and seconds.

v4e plan edit gpu=rtx4090 size=1280x720

Speeds are stated shares of the GPU's data sheet, and sizes are arithmetic; nothing was measured on a GPU.
"""

import json
from dataclasses import asdict, replace

from v4e.config import Config
from v4e.config.commands import PlanEditOptions
from v4e.config.recipes import RECIPES
from v4e.editing.settings import EditSettings
from v4e.files.progress import plan
from v4e.models.sizes import pipeline
from v4e.planning.editing import EditTask, EditWay, best, ways
from v4e.planning.gpus import RESERVE_GIB, RESERVE_SHARE, Cluster, cluster_of
from v4e.wan import GRID

GIB = 2**30


def run(options: PlanEditOptions) -> None:
    """Prints all ways, and the one to take.

    Raises:
        ValueError: an option is wrong, or the GPU is not known.
    """
    config, cluster, task = _asked(options)
    found = list(ways(config, pipeline(config.models.student, "models.student"), task, cluster))
    chosen = best(found, cluster)
    if options.json:
        print(json.dumps(_document(found, chosen, cluster), indent=2))
        return
    rows = {"room": f"{cluster.usable / GIB:.1f} GiB: {RESERVE_GIB:.0f} GiB and {RESERVE_SHARE:.0%} are left free"}
    rows |= {way.options: _row(way, cluster) for way in found}
    rows["take"] = f"v4e edit ... {chosen.options}" if chosen else "none fits: take a smaller size, or a larger GPU"
    plan(f"an edit of {options.size} in {options.steps} steps on one {options.gpu}, on paper", rows)


def _asked(options: PlanEditOptions) -> tuple[Config, Cluster, EditTask]:
    """Returns what is to be planned, in the settings that all plans are made of."""
    width, by, height = options.size.partition("x")
    sides = [int(side) for side in (height, width) if side.isdecimal()]
    if not by or len(sides) != 2 or any(side < GRID or side % GRID for side in sides):
        raise ValueError(f"size={options.size}: expected WIDTHxHEIGHT of multiples of {GRID}, such as 1280x720")
    shape = {"height": sides[0], "width": sides[1], "frames": options.frames}
    steps = {name: getattr(options, name) for name in ("steps", "guidance", "middle_steps")}
    EditSettings(**shape, **steps)  # which refuses what no edit can be made with
    config = RECIPES["wan14b_480p"]()
    config = replace(config, plan=replace(config.plan, gpu=options.gpu, gpu_gib=options.gpu_gib))
    cluster = cluster_of(config.plan)
    assert cluster is not None
    return config, cluster, EditTask(**shape, **steps)


def _row(way: EditWay, cluster: Cluster) -> str:
    parts = f"encoders {way.encoders / GIB:.1f}, VAE {way.vae / GIB:.1f}, DiT {way.dit / GIB:.1f}"
    fits = "fits" if way.peak <= cluster.usable else "too much"
    return f"{fits}: {way.peak / GIB:.1f} GiB ({parts}), {way.seconds:.1f} s, of which {way.copy_s:.1f} s are copies"


def _document(found: list[EditWay], chosen: EditWay | None, cluster: Cluster) -> dict:
    """Returns the plan for programs."""
    rows = [
        {
            "options": way.options,
            "fits": way.peak <= cluster.usable,
            "gib": {name: asdict(way)[name] / GIB for name in ("encoders", "vae", "dit")} | {"peak": way.peak / GIB},
            "seconds": way.seconds,
            "copy_seconds": way.copy_s,
        }
        for way in found
    ]
    return {"usable_gib": cluster.usable / GIB, "ways": rows, "take": chosen.options if chosen else None}
