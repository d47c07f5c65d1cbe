"""The command line that all pipelines share: ``recipe=NAME section.key=value ... [--help]``."""

import os
import sys
from collections.abc import Callable

from v4e.config.recipes import describe, fail, parse
from v4e.config.schema import Config
from v4e.files.uri import check_dir

USER_ERRORS = (ValueError, FileNotFoundError, TimeoutError)


def main(doc: str | None, run: Callable[[Config], None]) -> None:
    """Parse the arguments and call `run`. A user's mistake ends in one line; V4E_DEBUG=1 shows where it was raised."""
    argv = sys.argv[1:]
    if any(a in ("-h", "--help") for a in argv):
        usage = f"usage: python {sys.argv[0]} [recipe=NAME] [section.key=value ...]"
        print((doc or "").strip(), usage, describe(), sep="\n\n")
        return
    try:
        config = parse(argv)
    except ValueError as error:
        fail(str(error), 2)
    try:
        check_dir("run.dir", config.run.dir)
        run(config)
    except USER_ERRORS as error:
        if os.environ.get("V4E_DEBUG") == "1":
            raise
        fail(str(error), 1)
