"""What a person sees of a run while it trains."""

from dataclasses import dataclass

from v4e.config.checks import AT_LEAST_1, NOT_NEGATIVE, POSITIVE, check, require

TRACKERS = ("tensorboard", "wandb", "mlflow")


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What a person sees of a run while it trains: strips of samples, alarms, trackers."""

    samples_every: int = 200  # steps between strips of source, student, EMA, teacher and target; 0 = none
    per_task: int = 2  # validation samples of each task: held-out ones, or the last to train on where there are none
    tracker: str = "tensorboard"  # beside metrics.jsonl: tensorboard, wandb, mlflow, several with commas, or nothing
    window: int = 200  # fewest records to judge by whether kd and tail still fall; the last third of a longer run
    min_fall: float = 0.05  # a loss that surely falls by less than this share over the window has stopped falling
    drift_db: float = 3.0  # PSNR outside the edit that the EMA may lose against its best strip, the start included
    max_bad_steps: int = 10  # in a row without a finite loss and gradient: each is skipped, the last ends the run

    def __post_init__(self):
        check(self, NOT_NEGATIVE, "samples_every")
        check(self, AT_LEAST_1, "per_task", "max_bad_steps")
        check(self, POSITIVE, "drift_db")
        require(self.window >= 20, f"watch.window={self.window} is too short for a trend: set watch.window=20 or more")
        require(0 < self.min_fall < 1, f"watch.min_fall={self.min_fall} is a share of the loss: set it between 0 and 1")
        unknown = [name for name in self.trackers if name not in TRACKERS]
        require(
            not unknown,
            f"watch.tracker={self.tracker} names {', '.join(unknown)}: expected {', '.join(TRACKERS)}, "
            "several of them with commas, or nothing",
        )

    @property
    def trackers(self) -> tuple[str, ...]:
        """Their names, each once."""
        return tuple(dict.fromkeys(name.strip() for name in self.tracker.split(",") if name.strip()))
