"""The 11 edits of Table 1 in World 2: closed, with one valid outcome, or open, with 2 to 7 that have a prior."""

from dataclasses import dataclass
from random import Random

from v4e.language.tasks import TASKS
from v4e.tiny.world2.choices import zipf
from v4e.tiny.world2.scene import Scene

SPATIAL = ("addition", "removal", "replacement", "motion")  # what the paper says that video models rarely learn
Drawn = list[tuple[Scene, dict[str, str]]]  # the scenes of outcomes, likeliest first, and the slots that say them


@dataclass(frozen=True)
class Outcome:
    """A valid result of an edit, its prior probability, and the slots that say it fully."""

    scene: Scene
    prior: float
    slots: dict[str, str]


@dataclass(frozen=True)
class WorldEdit:
    """An edit before it is drawn. `kind` is the phrasing of its instruction, `told` that of a full caption."""

    task: str
    kind: str
    told: str
    slots: dict[str, str]  # of the instruction
    before: Scene
    outcomes: tuple[Outcome, ...]

    @property
    def open(self) -> bool:
        """True where the instruction leaves something to choose."""
        return len(self.outcomes) > 1

    def drawn(self, rng: Random) -> int:
        """Returns the index of an outcome, drawn by the prior."""
        return rng.choices(range(len(self.outcomes)), [one.prior for one in self.outcomes])[0]


def edit(task: str, told: str, aspect: str, slots: dict[str, str], before: Scene, drawn: Drawn) -> WorldEdit:
    """Builds an edit from its outcomes, likeliest first. It is closed where only one is left."""
    outcomes = tuple(
        Outcome(scene=scene, prior=prior, slots=said)
        for (scene, said), prior in zip(drawn, zipf(len(drawn)), strict=True)
    )
    if len(outcomes) == 1:
        aspect, slots = "", outcomes[0].slots
    return WorldEdit(
        task=task,
        kind=f"{told}/{aspect}" if aspect else told,
        told=told,
        slots=slots,
        before=before,
        outcomes=outcomes,
    )


def check_task(task: str) -> None:
    """Refuses a task that Table 1 does not have.

    Raises:
        ValueError: names the tasks.
    """
    if task not in TASKS:
        raise ValueError(f"unknown task {task!r}: expected one of {', '.join(TASKS)}")
