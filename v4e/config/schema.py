"""The settings of one run: frozen dataclasses that check themselves and name the fix.

A recipe (``v4e/config/recipes.py``) is a function that returns a :class:`Config`. The command line changes single
fields of it with ``section.key=value``. Values marked *ours* settle what the paper leaves open.
"""

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from v4e.config.bench import Bench, Judge
from v4e.config.captions import Caption
from v4e.config.checks import require
from v4e.config.data import Data, Precompute
from v4e.config.evaluation import Ablate, Eval, Sample
from v4e.config.ingest import Ingest
from v4e.config.losses import KD, Distill, Flow, Tail
from v4e.config.planning import Plan, Scale
from v4e.config.run import Models, Run
from v4e.config.teacher import Teacher
from v4e.config.training import Export, Lora, Optim, Train
from v4e.config.watching import Watch

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True, kw_only=True)
class Config:
    """The settings of one run."""

    recipe: str
    run: Run = field(default_factory=Run)
    models: Models = field(default_factory=Models)
    data: Data = field(default_factory=Data)
    ingest: Ingest = field(default_factory=Ingest)
    caption: Caption = field(default_factory=Caption)
    precompute: Precompute = field(default_factory=Precompute)
    teacher: Teacher = field(default_factory=Teacher)
    kd: KD = field(default_factory=KD)
    distill: Distill = field(default_factory=Distill)
    tail: Tail = field(default_factory=Tail)
    flow: Flow = field(default_factory=Flow)
    optim: Optim = field(default_factory=Optim)
    lora: Lora = field(default_factory=Lora)
    train: Train = field(default_factory=Train)
    export: Export = field(default_factory=Export)
    sample: Sample = field(default_factory=Sample)
    eval: Eval = field(default_factory=Eval)
    watch: Watch = field(default_factory=Watch)
    ablate: Ablate = field(default_factory=Ablate)
    plan: Plan = field(default_factory=Plan)
    scale: Scale = field(default_factory=Scale)
    bench: Bench = field(default_factory=Bench)
    judge: Judge = field(default_factory=Judge)

    def __post_init__(self):
        require(
            self.kd.weight > 0 or self.tail.weight > 0 or self.flow.weight > 0,
            "kd.weight, tail.weight and flow.weight are all 0: nothing would be trained; set one of them",
        )
        own = self.distill.own(self.optim.batch)
        require(
            self.distill.states == "rollout" or (own > 0 and self.kd.weight > 0),
            f"distill.states={self.distill.states} with kd.weight={self.kd.weight} and optim.batch={self.optim.batch}: "
            "no teacher is asked about the student's own states; set distill.states=rollout, or kd.weight above 0 and "
            "optim.batch to 2 or more",
        )
        require(
            own < self.optim.batch or self.tail.weight == self.flow.weight == 0,
            f"distill.states=student with tail.weight={self.tail.weight} and flow.weight={self.flow.weight}: they need "
            "the clips of triplets; set distill.states=mixed, or both weights to 0",
        )
        require(
            len(self.models.positions) in (0, self.data.latent_frames),
            f"models.positions={','.join(map(str, self.models.positions))} are those of 2 latent frames, "
            f"data.frames={self.data.frames} has {self.data.latent_frames}: set data.frames=5 or models.positions=",
        )
        require(
            not self.sample.middle_steps or self.data.latent_frames > 2,
            f"sample.middle_steps={self.sample.middle_steps} with data.frames={self.data.frames}: nothing lies between "
            "source and edit: set data.frames=9 or more, or sample.middle_steps=0",
        )
        accumulate, workers = self.optim.accumulate, self.train.workers
        require(
            accumulate % workers == 0,
            f"optim.accumulate={accumulate} does not divide over train.workers={workers}: "
            f"set optim.accumulate={accumulate // workers * workers or workers}",
        )
        uneven = [world for world in self.train.worlds if accumulate % world]
        every = math.lcm(*self.train.worlds)
        require(
            not uneven,
            f"optim.accumulate={accumulate} does not divide over {uneven} workers, which train.min_workers="
            f"{self.train.min_workers} allows: set train.min_workers={max(uneven, default=0) + 1}, or "
            f"optim.accumulate={accumulate // every * every or every}",
        )

    @property
    def doubt(self) -> str:
        """A line on what this run would learn wrong, with the remedy; empty where nothing is known."""
        tail = self.tail
        if tail.weight > 0 and tail.context == "source" and self.data.latent_frames == 2 and not self.models.positions:
            return (
                f"tail.context=source with data.frames={self.data.frames}: the whole evolution lies in the tail, which "
                "4 tiled edits are not (docs/results/ablations.md): set tail.context=fade"
            )
        return ""

    def sections(self) -> "dict[str, DataclassInstance]":
        """Returns the sections by name, in order. ``recipe`` is not one."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "recipe"}
