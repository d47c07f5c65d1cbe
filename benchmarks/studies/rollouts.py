"""Cheaper clips, and other places in time: success of tiny students that are trained on each kind of clip.

`python -m benchmarks.studies.rollouts FOLDER [STEPS] [SEEDS]` runs in one process, without Ray. It keeps each student's
figures in FOLDER, makes what is missing, and writes the result after each. GPU hours are those that the plan gives 14B
at 480p for as many forwards.
"""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.support.few_steps import distil
from benchmarks.support.result import write_result
from benchmarks.support.students import clips, edits, encoded, trained, write
from pipelines.parts.variants import Changes, changed
from v4e.config import Config, Data, Run, parse, tiny
from v4e.data.store.store import RolloutStore, Store
from v4e.evaluation.metrics.exact import score, summarize
from v4e.evaluation.verdict import spread, verdict
from v4e.files.progress import say
from v4e.files.uri import exists, join, read_json, write_json_atomic
from v4e.models.sizes import pipeline
from v4e.planning.gpus import cluster_of
from v4e.planning.layout import plan_cluster
from v4e.tiny.world import Record, make_triplets
from v4e.types import Sample
from v4e.weights.frozen import Frozen, load_frozen
from v4e.weights.hub import LORA

TRAIN, HELDOUT = 20, 10  # triplets of each task
FEW, ITERATIONS = 2, 300  # steps of the distilled teacher, and of its distillation
MAKERS = {"solver": "unipc", "shift": 16.0, "guidance": 5.5}
REFERENCE = "euler_8"  # the tiny recipe's own


def variants(folder: str) -> dict[str, Changes]:
    """Changes against the tiny recipe, the most wanted first."""
    return {
        REFERENCE: {},
        "line": {"teacher": {"clip": "line"}},
        "unipc_8": {"teacher": {"solver": "unipc"}},
        "guided_8": {"teacher": {"solver": "unipc", "guidance": MAKERS["guidance"]}},
        "makers_4": {"teacher": {**MAKERS, "steps": 4}},
        "positions_0_7": {"models": {"positions": (0, 7)}},
        "unipc_4": {"teacher": {"solver": "unipc", "steps": 4}},
        "lora_2": {"teacher": {"lora": join(folder, LORA), "steps": FEW}},
        "makers_50": {"teacher": {**MAKERS, "steps": 50}},
    }


def main() -> None:
    """Trains and evaluates what is missing, seed by seed: cut short, it still compares all variants."""
    folder, steps, seeds = [*sys.argv[1:], *("runs/rollouts", "300", "3")[len(sys.argv) - 1 :]]
    base = tiny()
    base = replace(base, run=Run(dir=folder), data=Data(), optim=replace(base.optim, steps=int(steps)))
    frozen = load_frozen(base.models.student, torch.float32)
    heldout = list(make_triplets("heldout", HELDOUT))
    if not exists(join(folder, "store", "manifest.json")):
        write(base, frozen, list(make_triplets("train", TRAIN)))
    judged = encoded(base, frozen, heldout)
    for seed in range(int(seeds)):
        for name, changes in variants(folder).items():
            place = join(folder, f"{name}-{seed}-{steps}.json")
            if not exists(place):
                config = changed(replace(base, run=replace(base.run, seed=seed)), changes)
                write_json_atomic(place, figures_of(config, frozen, heldout, judged))
            say(f"seed {seed} {name}: {read_json(place)}")
            report(base, folder, steps, int(seeds))


def roll_out(config: Config) -> None:
    """Makes the clips of `config` that are missing, and the few-step LoRA if it needs one."""
    if config.teacher.lora and not exists(config.teacher.lora):
        plain = replace(config, teacher=tiny().teacher)
        folder = str(Path(config.teacher.lora).parent)
        say(f"distilled to {FEW} steps: loss {distil(plain, folder, steps=FEW, iterations=ITERATIONS):.4f}")
    clips(config)


def figures_of(config: Config, frozen: Frozen, heldout: list[Record], judged: list[Sample]) -> dict:
    """Trains a student and scores its edits by the moving average of its weights."""
    roll_out(config)
    images = edits(config, trained(config), frozen, judged)
    pairs = zip(heldout, images, strict=True)
    scores = [score(r.task, r.source, r.edit, image, config.eval.preserve_db) for r, image in pairs]
    return summarize(scores)["overall"]


def report(base: Config, folder: str, steps: str, seeds: int) -> None:
    """Writes the result of what is there, of `seeds` seeds at most."""
    hours, rows, seen = hours_of_a_forward(), [], {}
    for name, changes in variants(folder).items():
        places = [join(folder, f"{name}-{seed}-{steps}.json") for seed in range(seeds)]
        if not (each := [read_json(place) for place in places if exists(place)]):
            continue
        config = changed(base, changes)
        costs = {
            "forwards": config.teacher.forwards,
            "gpu_h_per_1000_at_14b": round(hours * config.teacher.forwards, 3),
            "rms_to_fade": distance(config),
        }
        figures = {key: spread([one[key] for one in each]) for key in ("success", "edit_l1", "preserve_psnr")}
        rows.append({"variant": name, **costs, **figures})
        seen[name] = figures["success"]["seeds"]
    for name in seen:
        if name != REFERENCE:
            say(f"{name} against {REFERENCE}: {verdict(seen[name], seen[REFERENCE])}")
    found = {row["variant"]: row["success"]["mean"] for row in rows}
    found |= {f"{row['variant']}_db": row["preserve_psnr"]["mean"] for row in rows}
    command = f"python -m benchmarks.studies.rollouts runs/rollouts {steps} {seeds}"
    of_all = {"seeds": min(map(len, seen.values())), "heldout": 11 * HELDOUT}
    write_result("rollouts", command, rows, found | of_14b(hours, found) | of_all)


def distance(config: Config) -> float:
    """Root mean square over latents, from the tails of its clips to the cross-fade's."""
    store, rollouts = Store.open(config), RolloutStore.open(config)
    pairs = [(rollouts.read(key)[:, -1], store.read(key).z_tail_CHW) for key in store.ids()]
    return round(torch.stack([clip - tail for clip, tail in pairs]).pow(2).mean().sqrt().item(), 4)


def hours_of_a_forward() -> float:
    """GPU hours of one forward of the 14B teacher at 480p for each of 1,000 triplets, on H100s."""
    config = parse(["recipe=wan14b_480p", "plan.gpu=h100", "plan.gpus=10"])
    one = replace(config, teacher=replace(config.teacher, clip="sampled", steps=1, guidance=1.0))
    models = [pipeline(getattr(config.models, side), f"models.{side}") for side in ("student", "teacher")]
    cluster = cluster_of(config.plan)
    assert cluster is not None
    return plan_cluster(one, *models, cluster).rollout_gpu_h


def of_14b(hours: float, success: Mapping[str, float]) -> dict[str, float]:
    """The 14B recipe's own clips: their GPU hours, steps, and the success that such clips cost in the tiny world."""
    teacher = parse(["recipe=wan14b_480p"]).teacher
    like = "line" if teacher.clip == "line" else f"unipc_{teacher.steps}"
    loss = {"success_loss": round(success[REFERENCE] - success[like], 4)} if like in success else {}
    steps = teacher.steps if teacher.forwards else 0
    return {"gpu_h_per_1000": round(hours * teacher.forwards, 3), "steps": steps} | loss


if __name__ == "__main__":
    main()
