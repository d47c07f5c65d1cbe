"""The nearest settings that fit a cluster: every combination of a few changes is planned, and the least one wins."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from v4e.config import Config
from v4e.models.sizes import Pipeline
from v4e.planning.gpus import Cluster
from v4e.planning.layout import ClusterPlan, plan_cluster
from v4e.wan import GRID

CLIPS = (0.75, 0.5)  # of the sides
LORA_RANK = 64
Value = int | str | tuple[int, ...]
Overrides = dict[str, Value]  # "section.field" to what it becomes


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """Settings that fit, and how that goes."""

    changes: Overrides
    plan: ClusterPlan

    def __str__(self) -> str:
        shown = {key: ",".join(map(str, v)) if isinstance(v, tuple) else str(v) for key, v in self.changes.items()}
        return " ".join(f"{key}={value}" for key, value in shown.items())


def nearest(
    config: Config, student: Pipeline, teacher: Pipeline, cluster: Cluster, triplets: int = 0
) -> Suggestion | None:
    """The cheapest change of `config` that breaks no limit of `cluster`, the fastest of equally cheap ones.

    None where no combination fits.
    """
    best: Suggestion | None = None
    lowest = (float("inf"), float("inf"))
    for price, changes, variant in variants(config, cluster):
        if price > lowest[0]:
            continue
        found = plan_cluster(variant, student, teacher, cluster, triplets)
        rank = price, found.rollout_h + found.training_h
        if not found.limits and rank < lowest:
            best, lowest = Suggestion(changes=changes, plan=found), rank
    return best


def variants(config: Config, cluster: Cluster) -> Iterator[tuple[int, Overrides, Config]]:
    """Price, changes and config of every combination that is a valid config."""
    for choice in product(*[[(0, {}), *knob] for knob in knobs(config, cluster)]):
        changes = {key: value for _, alternative in choice for key, value in alternative.items()}
        sections: dict[str, dict[str, Value]] = {}
        for key, value in changes.items():
            section, field = key.split(".")
            sections.setdefault(section, {})[field] = value
        try:
            new = {name: replace(getattr(config, name), **fields) for name, fields in sections.items()}
            variant = replace(config, **new)
        except ValueError:  # e.g. an accumulation that does not divide over the workers
            continue
        yield sum(price for price, _ in choice), changes, variant


def knobs(config: Config, cluster: Cluster) -> list[list[tuple[int, Overrides]]]:
    """Alternatives to what `config` has, each with its price (ours): what changes no result is cheap."""
    data, train, teacher, batch = config.data, config.train, config.teacher, config.optim.batch

    def others(price: int, key: str, *values: Value) -> list[tuple[int, Overrides]]:
        section, field = key.split(".")
        return [(price, {key: value}) for value in values if value != getattr(getattr(config, section), field)]

    accumulate = config.optim.accumulate
    elastic = {"train.min_workers": 0} if train.min_workers else {}
    shard = [0] if train.shard else [cluster.per_node] if train.workers > cluster.per_node else []
    found = [
        others(1, "train.recompute", "selective", "full"),
        others(1, "train.reduce", "each"),
        others(1, "train.shard", *shard),  # HSDP, or none
        others(2, "train.offload", "optimizer"),
        [
            (2, {"train.workers": n} | elastic)
            for n in range(1, accumulate + 1)
            if accumulate % n == 0 and n != train.workers
        ],
        others(5, "optim.batch", 1) if batch > 1 else [],
        [
            (10, {"data.height": height, "data.width": width})
            for scale in CLIPS
            if (height := int(data.height * scale) // GRID * GRID) and (width := int(data.width * scale) // GRID * GRID)
        ],
        [] if config.lora.rank else [(30, {"lora.rank": LORA_RANK})],
    ]
    if config.kd.weight > 0:
        found += [
            [
                alternative
                for price, tp in ((2, 2), (3, 4), (4, 8))
                if tp <= cluster.per_node
                for alternative in others(price, "teacher.tp", tp)
            ],
            [] if teacher.replicas == 1 else [(1, {"teacher.replicas": 1, "teacher.max_replicas": 0})],
            others(10, "kd.taps", config.kd.taps[-1:]),
        ]
    return found
