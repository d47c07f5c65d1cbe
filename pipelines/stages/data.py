"""A look at data before it is used: `v4e data look PATH`.

Prints what each file at PATH holds and the settings of ``v4e ingest`` that read it, and writes a page with the first
pairs of pictures.
"""

from v4e.config import Ingest
from v4e.config.commands import DataOptions
from v4e.data.look import look, page, pairs
from v4e.files.progress import plan, say
from v4e.files.uri import write_atomic


def run(options: DataOptions) -> None:
    """Prints and writes what is at ``options.path``.

    Raises:
        ValueError: it cannot be opened, there is nothing of a known form, or a column has no known role.
    """
    files = look(options.path, Ingest(columns=options.columns).mapping)
    for file in files:
        plan(f"{file.uri}: {file.rows} rows", file.columns or {})
        say(f"  not read: {file.reason}" if file.reason else f"  read by {file.settings}")
    found = pairs(files, options.pictures // 2, options.max_pixels)
    write_atomic(options.out, page(options.path, files, found).encode())
    say(f"{len(found)} pairs, {sum(bool(pair.problems) for pair in found)} of them with problems: {options.out}")
