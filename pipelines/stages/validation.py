"""The validation samples of a run, encoded and rolled out once, for the strips that training makes.

Chooses watch.per_task triplets of each task from the held-out ones. Without held-out triplets it takes them from the
end of the training triplets. Runs precompute and rollout on them below <run.dir>/samples. A second run finds them done.
"""

from pipelines.stages import precompute, rollout
from v4e.config import Config
from v4e.files.progress import say
from v4e.watch.validation import choose, origin, ready, validation


def run(config: Config) -> None:
    """Brings the validation samples up to date, or reports that no triplets are at hand."""
    if config.watch.samples_every == 0:
        return
    if not choose(config):
        say("no strips of samples: neither held-out nor training triplets are at hand, or none of them can be used")
        return
    if ready(config):
        return
    say(f"samples to watch: {config.watch.per_task} {origin(config)} triplets of each task")
    samples = validation(config)
    precompute.run(samples)
    rollout.run(samples)
