"""The command line: ``v4e COMMAND [recipe=NAME] [section.key=value ...]``.

A command is a module of ``pipelines/stages`` with a function ``run(config)``; its docstring is its help. Arguments are
read before the command is imported, so that a mistake in them is reported at once.
"""

import ast
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from v4e.config import Config, parse
from v4e.config.command_line import describe, fail
from v4e.files.uri import check_dir

STAGES = Path(__file__).resolve().parents[1] / "stages"
USER_ERRORS = (ValueError, FileNotFoundError, TimeoutError)
SECOND_WORDS = {("caption", "audit"): "caption_audit", ("plan", "scale"): "plan_scale"}
SHORT = {"--json": "plan.json=true"}


def help_of(name: str) -> str:
    """The docstring of a command's module, which is not imported."""
    return ast.get_docstring(ast.parse((STAGES / f"{name}.py").read_text())) or ""


def console() -> None:
    """The program ``v4e``: its first argument names the command."""
    name, *argv = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(overview())
    elif not (STAGES / f"{name}.py").exists():
        fail(f"unknown command {name!r}: expected one of {', '.join(commands())}", 2)
    else:
        main(name, argv)


def commands() -> list[str]:
    """The names of all commands."""
    hidden = {"__init__", *SECOND_WORDS.values()}
    return sorted(path.stem for path in STAGES.glob("*.py") if path.stem not in hidden)


def overview() -> str:
    """All commands, with the first line of each one's help."""
    lines = [f"  {name:14} {help_of(name).splitlines()[0]}" for name in commands()]
    usage = "usage: v4e COMMAND [recipe=NAME] [section.key=value ...]; v4e COMMAND --help lists its settings"
    return "\n".join([usage, "", *lines])


def main(name: str, argv: list[str] | None = None) -> None:
    """Run the command `name`; V4E_DEBUG=1 shows where a user's mistake was raised."""
    argv = sys.argv[1:] if argv is None else argv
    if argv and (name, argv[0]) in SECOND_WORDS:
        name, argv = SECOND_WORDS[name, argv[0]], argv[1:]
    if any(a in ("-h", "--help") for a in argv):
        usage = f"usage: v4e {name.replace('_', ' ')} [recipe=NAME] [section.key=value ...]"
        print(help_of(name), usage, describe(), sep="\n\n")
        return
    carry_out(argv, lambda config: importlib.import_module(f"pipelines.stages.{name}").run(config))


def carry_out(argv: list[str], run: Callable[[Config], None]) -> None:
    """Read the arguments and call `run`; a user's mistake ends in one line, exit status 2 or 1."""
    try:
        config = parse([SHORT.get(a, a) for a in argv])
    except ValueError as error:
        fail(str(error), 2)
    try:
        check_dir("run.dir", config.run.dir)
        run(config)
    except USER_ERRORS as error:
        if os.environ.get("V4E_DEBUG") == "1":
            raise
        fail(str(error), 1)
