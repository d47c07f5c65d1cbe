"""The view of a run while it trains."""

from dataclasses import dataclass

from v4e.config.checks import AT_LEAST_1, NOT_NEGATIVE, POSITIVE, check, require
from v4e.config.setting import NOTHING, setting

TRACKERS = ("tensorboard", "wandb", "mlflow")


@dataclass(frozen=True, kw_only=True)
class Watch:
    """The view of a run while it trains: strips of samples, alarms, trackers."""

    samples_every: int = setting(
        200, "Steps between strips of source, student, EMA, teacher and target; 0 = none", decides=NOTHING
    )
    per_task: int = setting(
        2,
        "Validation samples of each task: held-out ones, or the last training ones where none are held out",
        decides=NOTHING,
    )
    tracker: str = setting(
        "tensorboard",
        "Trackers beside metrics.jsonl: tensorboard, wandb, mlflow, several with commas, or empty for none",
        decides=NOTHING,
    )
    window: int = setting(
        200,
        "Fewest records that decide whether kd and tail still fall; a longer run uses its last third",
        decides=NOTHING,
    )
    min_fall: float = setting(
        0.05, "Share of a loss; one that surely falls by less over the window has stopped falling", decides=NOTHING
    )
    drift_db: float = setting(
        3.0,
        "PSNR in dB outside the edit that the EMA may lose against its best strip, the start included",
        decides=NOTHING,
    )
    max_bad_steps: int = setting(
        10, "Consecutive steps without a finite loss and gradient that end the run; each is skipped", decides=NOTHING
    )

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
        """The names of the trackers, each once."""
        return tuple(dict.fromkeys(name.strip() for name in self.tracker.split(",") if name.strip()))
