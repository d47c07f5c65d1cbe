"""Lists runs: state, step, losses, owner and size of each below a folder.

v4e runs [where=runs]
v4e runs clean [where=runs] [remove=true]
"""

from rich.table import Table

from pipelines.parts.runs import runs_below
from v4e.config.commands import RunsOptions
from v4e.files.progress import console


def run(options: RunsOptions) -> None:
    """Lists the runs below ``where``.

    Raises:
        FileNotFoundError: there are none.
    """
    found = list(runs_below(options.where))
    if not found:
        raise FileNotFoundError(f"no run in {options.where} or a folder of it: name another one with where=FOLDER")
    table = Table(box=None)
    for head in ("run", "state", "step", "losses", "GiB", "owner"):
        table.add_column(head, overflow="fold")
    for one in found:
        losses = "  ".join(f"{name} {value:.4g}" for name, value in one.losses.items())
        table.add_row(one.place, one.state, f"{one.step}/{one.steps}", losses, f"{one.size / 2**30:.3f}", one.owner)
    console.print(table)
