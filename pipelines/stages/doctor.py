"""Checks this machine, and the cluster of RAY_ADDRESS, before a run: prints what is wrong and how to mend it.

v4e doctor [recipe=NAME] [run.dir=FOLDER_OR_URI] [section.key=value ...]

Give it the arguments of the run. The small files that it writes to run.dir and data.store are removed again. Without
RAY_ADDRESS it looks at this machine alone and starts no Ray. It connects to the database that V4E_SERVE_STATE names.
"""

import time
from contextlib import nullcontext

from rich.table import Table
from rich.text import Text

from pipelines.parts import checkup
from v4e.config import Config
from v4e.faults import Fault
from v4e.files.progress import console, say


def run(config: Config) -> None:
    """Checks everything, and prints a line for each check.

    Raises:
        Fault: something is wrong; names the checks.
    """
    found = findings(config)
    table = Table("", "", "", box=None, show_header=False)
    for column in table.columns[:2]:
        column.no_wrap = True
    table.columns[2].overflow = "fold"
    for one in found:
        table.add_row(one.state, one.name, Text(one.said))
    console.print(table)
    if wrong := [one.name for one in found if one.state == "wrong"]:
        raise Fault("A13", f"{len(wrong)} of {len(found)} checks failed: {', '.join(wrong)}: see the lines above")
    say(f"{len(found)} checks, none failed")


def findings(config: Config) -> list[checkup.Finding]:
    """Returns the results of all checks."""
    from actors.cluster import connect, joins
    from actors.nodes import look, look_everywhere

    places = {"run.dir": config.run.dir} | ({"data.store": config.data.store} if config.data.store else {})
    found = [checkup.packages(), checkup.models(config), *(checkup.place(key, uri) for key, uri in places.items())]
    found += [checkup.disk(config), checkup.ports(), *checkup.served_state()]
    writable = found[2].state == "ok"
    try:
        with checkup.marked(config.run.dir) if writable else nullcontext(("", b"")) as (mark, _):
            if joins():
                connect()
                nodes = look_everywhere(mark)
            else:
                nodes = [look("127.0.0.1", mark, time.time())]
    except Fault as fault:  # no Ray at the address, or another version
        return [*found, checkup.Finding(name="Ray", state="wrong", said=fault.line)]
    return [*found, checkup.token(nodes), *checkup.cluster(config, nodes, shared=writable and len(nodes) > 1)]
