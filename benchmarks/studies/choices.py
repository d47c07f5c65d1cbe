"""World 2: what distillation does where an instruction leaves something to choose. Success and commitment by steps.

`python -m benchmarks.studies.choices FOLDER [STEPS] [SEEDS]` runs in one process, without Ray. It keeps each student's
figures in FOLDER, makes what is missing, and writes the result after each. Every valid outcome of a training scene is a
recorded edit. Held-out edits are judged against all of theirs, open and closed ones apart.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np
import torch

from benchmarks.support.result import write_result
from benchmarks.support.students import clips, edits, encoded, trained, write
from pipelines.parts.variants import Changes, changed
from v4e.config import Config, Data, Models, Run, Tail, tiny
from v4e.evaluation.metrics.choices import Ruling, by_chance, judge, same_outcome, shares
from v4e.evaluation.metrics.exact import edit_mask, psnr
from v4e.evaluation.verdict import spread, verdict
from v4e.files.progress import say
from v4e.files.uri import exists, join, read_json, write_json_atomic
from v4e.tiny.world2 import FRAMES, Record, make_triplets
from v4e.types import Sample
from v4e.weights.frozen import Frozen, load_frozen

FAMILY = "v4e/assets/world2"
TRAIN, HELDOUT = 20, 15  # scenes of each task
STEPS = (1, 2, 4, 8)  # of sampling
DRAWS = 2  # of noise, in 8 steps, for the variety
SHOWN = ("recorded", "posterior", "hindsight")
FULL = "full"
LATE: Changes = {"tail": {"times": "0.25"}}
FLOW: Changes = {"tail": {"weight": 0.0}, "flow": {"weight": 1.0}}  # plain flow matching in the place of the tail
ALONE: Changes = {"kd": {"weight": 0.0}}
VARIANTS: dict[str, Changes] = {  # against the tiny recipe, the most wanted first
    FULL: {},
    "native": {"optim": {"steps": 1}, "tail": {"weight": 0.0}, "flow": {"weight": 1e-12}} | ALONE,
    "no_kd": ALONE,
    "flow": FLOW | ALONE,
    "full_late": LATE,
    "no_kd_late": LATE | ALONE,
    "kd_flow": FLOW,
    **{f"flow_{shown}": FLOW | {"distill": {"states": "mixed", "shown": shown}} for shown in SHOWN},
    "no_tail": {"tail": {"weight": 0.0}},
    **{f"tail_{shown}": {"distill": {"states": "mixed", "shown": shown}} for shown in SHOWN},
}
CLAIMS = (  # better, worse
    *((FULL, "no_kd"), (FULL, "no_tail"), (FULL, "flow"), ("full_late", "no_kd_late"), ("full_late", FULL)),
    *(("flow", "no_kd"), ("kd_flow", "flow")),
    *((f"flow_{shown}", "flow") for shown in SHOWN),
    *((f"tail_{shown}", "no_kd") for shown in SHOWN),
)


def main() -> None:
    """Trains and judges what is missing, seed by seed: cut short, it still compares all variants."""
    folder, steps, seeds = [*sys.argv[1:], *("runs/choices", "300", "3")[len(sys.argv) - 1 :]]
    base = recipe(folder, int(steps))
    frozen = load_frozen(base.models.student, torch.float32)
    heldout = list(make_triplets("heldout", HELDOUT))
    if not exists(join(folder, "store", "manifest.json")):
        write(base, frozen, [one for record in make_triplets("train", TRAIN) for one in recorded(record)])
    clips(base)
    judged = encoded(base, frozen, heldout)
    for seed in range(int(seeds)):
        for name, changes in VARIANTS.items():
            place = join(folder, f"{name}-{seed}-{steps}.json")
            if not exists(place):
                config = changed(replace(base, run=replace(base.run, seed=seed)), changes)
                write_json_atomic(place, figures_of(config, frozen, heldout, judged))
            say(f"seed {seed} {name}: {read_json(place)}")
            report(folder, steps, int(seeds))


def recipe(folder: str, steps: int) -> Config:
    """The tiny recipe on World 2's family, whose clips end in the edit at rest: Eq. 4's own target is the true one."""
    base = tiny()
    return replace(
        base,
        run=Run(dir=folder),
        models=Models(student=f"{FAMILY}/tiny-wan-i2v", teacher=f"{FAMILY}/tiny-wan-flf2v"),
        data=Data(frames=FRAMES),
        tail=Tail(context="source"),
        optim=replace(base.optim, steps=steps),
    )


def recorded(record: Record) -> list[Record]:
    """Returns a record of each valid outcome of a scene, without the frames between; none for a repeated scene."""
    if not record.id[-5:].isdigit():
        return []
    return [
        replace(record, id=f"{record.id}+{k}", shown=k, frames=np.stack([record.source, outcome]))
        for k, outcome in enumerate(record.outcomes)
    ]


def figures_of(config: Config, frozen: Frozen, heldout: Sequence[Record], judged: Sequence[Sample]) -> dict:
    """Trains a student and judges its edits: shares of open and of closed ones by steps, and the variety."""
    trainer = trained(config)
    found: dict = {}
    rulings: list[list[Ruling]] = []
    for steps, draw in (*((steps, 0) for steps in STEPS), *((STEPS[-1], draw) for draw in range(1, DRAWS))):
        images = edits(config, trainer, frozen, judged, steps=steps, draw=draw)
        rulings.append([judge_of(config, record, image) for record, image in zip(heldout, images, strict=True)])
        if draw:
            continue
        for kind in (True, False):
            mine = [ruling for record, ruling in zip(heldout, rulings[-1], strict=True) if record.open is kind]
            found[f"{'open' if kind else 'closed'}_{steps}"] = shares(mine)
        kept = [kept_db(record, image) for record, image in zip(heldout, images, strict=True)]
        found[f"kept_db_{steps}"] = round(fmean(db for db in kept if db is not None), 2)
    last = rulings[len(STEPS) - 1 :]
    opened = [i for i, record in enumerate(heldout) if record.open]
    found["same_outcome"] = round(same_outcome([[each[i].outcome for each in last] for i in opened]), 4)
    return found


def judge_of(config: Config, record: Record, image: np.ndarray) -> Ruling:
    return judge(record.source, record.outcomes, record.prior, image, config.eval.preserve_db)


def kept_db(record: Record, image: np.ndarray) -> float | None:
    """Returns the PSNR of the source where no outcome changes it, in dB; None where all of it may change."""
    kept = ~np.logical_or.reduce([edit_mask(record.source, outcome) for outcome in record.outcomes])
    return psnr(image[kept], record.source[kept]) if kept.any() else None


def report(folder: str, steps: str, seeds: int) -> None:
    """Writes the result of what is there, of `seeds` seeds at most."""
    rows, committed = [], {}
    for name in VARIANTS:
        places = [join(folder, f"{name}-{seed}-{steps}.json") for seed in range(seeds)]
        if not (each := [read_json(place) for place in places if exists(place)]):
            continue
        row: dict = {"variant": name}
        for kind in ("open", "closed"):
            for n in STEPS:
                row |= {
                    f"{kind}_{w}_{n}": spread([e[f"{kind}_{n}"][w] for e in each]) for w in ("success", "committed")
                }
        row |= {f"mean_like_{n}": spread([e[f"open_{n}"]["mean-like"] for e in each]) for n in STEPS}
        row |= {key: spread([e[key] for e in each]) for key in ("same_outcome", *(f"kept_db_{n}" for n in STEPS))}
        rows.append(row)
        committed[name] = {k: row[f"{k}_committed_{STEPS[-1]}"]["seeds"] for k in ("open", "closed")}
    for better, worse in CLAIMS:
        if better in committed and worse in committed:
            for kind in ("open", "closed"):
                say(f"{kind}: {better} > {worse}: {verdict(committed[better][kind], committed[worse][kind])}")
    chance = by_chance([record.prior for record in make_triplets("heldout", HELDOUT) if record.open])
    found = {
        f"{name}_{kind}": round(fmean(values), 4) for name, each in committed.items() for kind, values in each.items()
    }
    command = f"python -m benchmarks.studies.choices runs/choices {steps} {seeds}"
    of_all = {"seeds": min(len(each["open"]) for each in committed.values()), "same_by_chance": round(chance, 3)}
    write_result("choices", command, rows, found | of_all)


if __name__ == "__main__":
    main()
