"""The reference of all settings, for ``--help`` and for docs/config.md.

``python -m v4e.config.reference > docs/config.md`` writes the page.
"""

import inspect
import textwrap
import typing
from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Literal, NamedTuple

from v4e.config.command_line import written
from v4e.config.commands import OPTIONS, rows
from v4e.config.recipes import RECIPES, tiny
from v4e.config.schema import Config
from v4e.config.setting import Outcome, decides, help_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

OUTCOMES: dict[Outcome, str] = {
    "triplets": "the triplets that `v4e ingest` chooses",
    "samples": "the triplets that a run trains on and is evaluated on",
    "captions": "the evolution captions of `v4e caption`",
    "features": "the feature store of `v4e precompute`",
    "rollouts": "the teacher's rollouts of `v4e rollout`",
    "training": "the weights of `v4e train`",
    "export": "the weights of `v4e export`",
    "edits": "the edits of `v4e evaluate`",
    "scores": "the figures of `v4e evaluate`",
    "benchmark edits": "our models' edits of `v4e benchmark`",
    "foreign edits": "other programs' edits of `v4e benchmark`",
    "benchmark scores": "the figures of `v4e benchmark` and `v4e preservation`",
}
START = """\
# Settings

<!-- Made by python -m v4e.config.reference > docs/config.md: change the sections in v4e/config, not this page. -->

Every command takes `recipe=NAME` and any number of `section.key=value`. Lists are written with commas, and a setting
that is not given keeps its recipe's value. `v4e COMMAND --help` prints the same reference.
"""
DECIDES = """\
## What a setting decides

The last column of each table names the results that change with a setting. A command that finds such a result, made
with another value, makes it again, or refuses and names the setting. A setting that decides nothing may change between
two calls of a command.
"""


OTHERS = """\
## Options of other commands

These commands are not about a run and take no recipe. An option in capitals is given by its place.
"""


class Line(NamedTuple):
    """One setting of the reference."""

    key: str
    default: str  # as the command line takes it
    text: str
    decides: tuple[Outcome, ...]


def lines(name: str, section: "DataclassInstance") -> Iterator[Line]:
    """Yields the settings of a section, with the values of `section` as defaults."""
    hints = typing.get_type_hints(type(section))
    for one in fields(section):
        choices = typing.get_args(hints[one.name]) if typing.get_origin(hints[one.name]) is Literal else ()
        text = help_of(one) + (f" [{' | '.join(choices)}]" if choices else "")
        if only := one.metadata["only"]:
            text += f"; only with {name}.{only}"
        yield Line(f"{name}.{one.name}", written(getattr(section, one.name)), text, decides(one))


def describe() -> str:
    """Returns all recipes and settings with their defaults: the body of ``--help``."""
    found = ["recipes (recipe=NAME, default tiny):"]
    found += [f"  {name:14} {summary(recipe)}" for name, recipe in RECIPES.items()]
    for name, section in tiny().sections().items():
        found += ["", f"{name}: {summary(type(section))}"]
        for line in lines(name, section):
            start = f"  {f'{line.key}={line.default}':34} "
            found += wrapped(start + line.text, " " * 37)
    return "\n".join(found)


def page() -> str:
    """Returns docs/config.md."""
    found = [START, "## Recipes"]
    for name, recipe in RECIPES.items():
        found += ["", f"`recipe={name}`: {summary(recipe)}", "", "```text", *wrapped(changes(recipe())), "```"]
    found += ["", DECIDES, *table("result", "what it is")]
    found += [f"| {outcome} | {text} |" for outcome, text in OUTCOMES.items()]
    for name, section in Config(recipe="").sections().items():
        found += ["", f"## {name}", "", summary(type(section)), "", *table("setting", "default", "meaning", "decides")]
        for line in lines(name, section):
            default = f"`{line.default}`" if line.default else "empty"
            found.append(f"| `{line.key}` | {default} | {cell(line.text)} | {', '.join(line.decides) or 'nothing'} |")
    found += ["", OTHERS]
    for command, options in OPTIONS.items():
        found += [f"### v4e {command.replace('_', ' ')}", "", *table("option", "meaning")]
        found += [*(f"| `{how}` | {cell(text)} |" for how, text in rows(options)), ""]
    return "\n".join(found)


def wrapped(text: str, indent: str = "") -> list[str]:
    """Returns the lines of a text, at most 120 columns wide where its words allow it."""
    return textwrap.wrap(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def table(*heads: str) -> list[str]:
    """Returns the first two lines of a Markdown table."""
    return [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]


def cell(text: str) -> str:
    """Returns a text as a table's cell shows it."""
    return text.replace("|", r"\|").replace("<", r"\<")


def changes(config: Config) -> str:
    """Returns the settings in which a recipe differs from the defaults."""
    found = []
    for (name, section), default in zip(config.sections().items(), Config(recipe="").sections().values(), strict=True):
        pairs = zip(lines(name, section), lines(name, default), strict=True)
        found += [f"{now.key}={now.default}" for now, before in pairs if now.default != before.default]
    return " ".join(found)


def summary(what: object) -> str:
    """Returns the first line of a docstring."""
    return (inspect.getdoc(what) or "").splitlines()[0].replace("``", "`")


if __name__ == "__main__":
    print(page(), end="")
