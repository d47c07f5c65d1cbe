"""The command line: ``v4e COMMAND [recipe=NAME] [section.key=value ...]``.

A command is a module of ``pipelines/stages`` with a function ``run``; its docstring is its help. Arguments are read
before the command is imported, so that a mistake in them is reported at once.
"""

import ast
import importlib
import os
import re
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TypeVar

from v4e.config import Config, parse
from v4e.config.command_line import fail, nearest
from v4e.config.commands import OPTIONS, describe_options, read_options, usage
from v4e.config.reference import describe
from v4e.faults import Fault
from v4e.faults.foreign import as_fault
from v4e.files.place import check_dir, check_job

PIPELINES = Path(__file__).resolve().parents[1]
STAGES = PIPELINES / "stages"
SERVE = PIPELINES.parent / "serve" / "__main__.py"  # a command of its own, whose package nothing here imports
SECOND_WORDS = {
    ("caption", "audit"): "caption_audit",
    ("plan", "scale"): "plan_scale",
    ("plan", "edit"): "plan_edit",
    ("runs", "clean"): "runs_clean",
}
TEXT = {"caption": "caption_text"}  # commands that also take a sentence: v4e caption "make it red"
SHORT = {"--json": "plan.json=true", "--example": "example=1"}
WRITTEN = {"out", "clip", "strip", "sheet", "hashes", "work"}  # options that name what a command writes
ANYWHERE = {"doctor"}  # commands that say themselves what is wrong with a place
SERVICE = ("A04", "A05", "A07")  # codes of errors of a place
T = TypeVar("T")


def console() -> None:
    """Run the program ``v4e``, whose first argument names the command."""
    name, *argv = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(overview())
    elif name == "serve":
        os.execv(sys.executable, [sys.executable, "-W", "ignore", "-m", "serve", *argv])
    elif name not in commands():
        fail(f"unknown command {name!r}: {nearest(name, [*commands()])}; v4e --help lists all", 2)
    else:
        main(name, argv)


def commands() -> dict[str, Path]:
    """File of each command, by name."""
    files = {path.stem: path for path in STAGES.glob("*.py")} | {"serve": SERVE}
    hidden = ("__init__", *SECOND_WORDS.values(), *TEXT.values())
    return {name: files[name] for name in sorted(files) if name not in hidden}


def help_of(file: Path) -> str:
    """Docstring of a command's file, which is not imported."""
    return ast.get_docstring(ast.parse(file.read_text())) or ""


def overview() -> str:
    """All commands, each with the first line of its help."""
    lines = [f"  {name:14} {help_of(file).splitlines()[0]}" for name, file in commands().items()]
    return "\n".join(["usage: v4e COMMAND [key=value ...]; v4e COMMAND --help lists the keys", "", *lines])


def main(name: str, argv: list[str] | None = None) -> None:
    """Run the command `name`; V4E_DEBUG=1 shows where a user's mistake was raised."""
    argv = sys.argv[1:] if argv is None else argv
    name, argv = command_of(name, argv)
    options = OPTIONS.get(name)
    if any(a in ("-h", "--help") for a in argv):
        line = f"usage: v4e {name.replace('_', ' ')} [recipe=NAME] [section.key=value ...]"
        known = (usage(options), describe_options(options)) if options else (line, describe())
        print(help_of(STAGES / f"{name}.py"), *known, sep="\n\n")
    else:
        read = parse if options is None else lambda words: read_options(options, words)
        places = name not in ANYWHERE
        carry_out([SHORT.get(a, a) for a in argv], read, lambda settings: stage(name)(settings), places=places)


def command_of(name: str, argv: list[str]) -> tuple[str, list[str]]:
    """The command that `name` and a second word or a sentence mean, and its arguments."""
    if argv and (name, argv[0]) in SECOND_WORDS:
        return SECOND_WORDS[name, argv[0]], argv[1:]
    sentence = bool(argv) and " " in argv[0] and not re.match(r"[\w.]+=", argv[0])
    return (TEXT[name], argv) if sentence and name in TEXT else (name, argv)


def stage(name: str) -> Callable:
    """The function ``run`` of a command's module, imported now."""
    return importlib.import_module(f"pipelines.stages.{name}").run


def carry_out(
    argv: list[str], read: Callable[[list[str]], T], run: Callable[[T], None], *, places: bool = True
) -> None:
    """Read the arguments and call `run` on them; any error ends in one line with its code, and exit status 2 or 1.

    With `places`, the folders that the command writes to are checked first.
    """
    try:
        settings = read(argv)
    except ValueError as error:
        fail(Fault("A01", str(error)).line, 2)
    from pipelines.parts.stopping import Stopped, stoppable  # here: help and mistakes need no psutil

    try:
        with stoppable() as stop:
            try:
                if places:
                    check_places(settings)
                run(settings)
            except (Stopped, KeyboardInterrupt):
                if not stop.signal:  # not ours, such as a run that another process has taken over
                    raise
                fail(stop.fault.line, stop.status)
    except KeyboardInterrupt as error:
        fail(line_of(error, settings), 130)
    except Exception as error:  # whatever it is, a user reads one line
        if os.environ.get("V4E_DEBUG") == "1":
            raise
        fail(line_of(error, settings), 1)


def check_places(settings: object) -> None:
    """Refuses places that a command cannot write to, or whose files nobody would find.

    Raises:
        Fault: naming the first of them.
    """
    if isinstance(settings, Config):
        check_dir("run.dir", settings.run.dir)
        check_job("data.store", settings.data.store)
        check_job("data.captions", settings.data.captions)
    elif is_dataclass(settings):
        for name in WRITTEN & {one.name for one in fields(settings)}:
            check_job(name, getattr(settings, name))


def line_of(error: BaseException, settings: object) -> str:
    """Returns the line on `error`; it names the run where a storage service does not say what it was asked for."""
    fault = as_fault(error)
    if fault.code in SERVICE and isinstance(settings, Config) and settings.run.dir not in fault.message:
        fault = Fault(fault.code, f"run.dir={settings.run.dir}: {fault.message}")
    return fault.line
