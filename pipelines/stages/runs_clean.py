"""Shows what of finished and stopped runs can go, and removes it with remove=true.

That is half written checkpoints and files, checkpoints of finished and exported runs but for the last, and Ray Train's
own records. A run that somebody works in is left alone.
"""

from pipelines.parts.runs import removable, runs_below
from v4e.config.commands import RunsCleanOptions
from v4e.files.progress import say
from v4e.files.uri import remove


def run(options: RunsCleanOptions) -> None:
    """Shows or removes it, below ``where``."""
    found = [one for state in runs_below(options.where) for one in removable(state)]
    for one in found:
        say(f"{one.size / 2**20:10.1f} MiB  {one.place}  ({one.why})")
        if options.remove:
            remove(one.place)
    total = sum(one.size for one in found) / 2**30
    done = "removed" if options.remove else "can go: say remove=true to remove it" if found else "can go"
    say(f"{total:.3f} GiB in {len(found)} places {done}")
