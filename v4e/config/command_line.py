"""The command line of every stage: ``recipe=NAME section.key=value ...`` to a Config, and ``--help``."""

import dataclasses
import difflib
import inspect
import sys
import types
import typing
from typing import Any, Literal

from v4e.config.recipes import RECIPES, tiny
from v4e.config.schema import Config


def parse(argv: list[str]) -> Config:
    """``["recipe=tiny", "kd.weight=0", ...]`` to a Config.

    Raises:
        ValueError: one line that names the bad argument, what was expected and the nearest valid one.
    """
    pairs = []
    for argument in argv:
        key, eq, value = argument.partition("=")
        if not eq:
            raise ValueError(f"{argument!r}: expected key=value, e.g. recipe=tiny kd.weight=0.5; --help lists the keys")
        key = key.lstrip("-")
        if key in dict(pairs):
            raise ValueError(f"{key} is given twice, {key}={dict(pairs)[key]} and {key}={value}: expected once")
        pairs.append((key, value))
    name = dict(pairs).get("recipe", "tiny")
    if not name:
        raise ValueError(f"recipe= is empty: expected one of {', '.join(RECIPES)}")
    if name not in RECIPES:
        raise ValueError(f"unknown recipe {name!r}: {nearest(name, list(RECIPES))}; recipes: {', '.join(RECIPES)}")
    config = RECIPES[name]()
    keys = {f"{s}.{f.name}" for s, section in config.sections().items() for f in dataclasses.fields(section)}
    changes: dict[str, dict[str, Any]] = {}
    for key, text in pairs:
        if key == "recipe":
            continue
        if key not in keys:
            raise ValueError(f"unknown key {key!r}: {nearest(key, ['recipe', *sorted(keys)])}; --help lists all")
        section, field = key.split(".")
        hint = typing.get_type_hints(type(config.sections()[section]))[field]
        changes.setdefault(section, {})[field] = read_value(key, text, hint)
    sections = {s: dataclasses.replace(config.sections()[s], **fields) for s, fields in changes.items()}
    return dataclasses.replace(config, **sections)


def nearest(word: str, options: list[str]) -> str:
    close = difflib.get_close_matches(word, options, n=1, cutoff=0.0)
    return f"nearest is {close[0]}"


def read_value(key: str, text: str, hint: Any) -> Any:
    """`text` as a value of type `hint`."""
    origin = typing.get_origin(hint)
    if origin is Literal:
        choices = [str(c) for c in typing.get_args(hint)]
        if text not in choices:
            raise ValueError(f"{key}={text}: {nearest(text, choices)}; expected one of {', '.join(choices)}")
        return text
    if origin in (tuple, types.GenericAlias):
        if typing.get_args(hint)[0] is str:
            return tuple(part.strip() for part in text.split(",") if part.strip())
        try:
            return tuple(int(part) for part in text.split(",") if part)
        except ValueError:
            raise ValueError(f"{key}={text}: expected comma-separated integers, e.g. {key}=1,3,5") from None
    if hint is bool:
        if text not in ("true", "false"):
            raise ValueError(f"{key}={text}: expected true or false")
        return text == "true"
    if hint is str:
        return text
    try:
        return hint(text.replace("_", ""))
    except ValueError:
        raise ValueError(f"{key}={text}: expected {'an integer' if hint is int else 'a number'}") from None


def describe() -> str:
    """All recipes and keys, with defaults and the comments of ``v4e/config/schema.py``: the body of ``--help``."""
    lines = ["recipes (recipe=NAME, default tiny):"]
    lines += [f"  {name:14} {(f.__doc__ or '').splitlines()[0]}" for name, f in RECIPES.items()]
    config = tiny()
    for section, value in config.sections().items():
        lines += ["", f"{section}: {(inspect.getdoc(type(value)) or '').splitlines()[0]}"]
        notes = _comments(type(value))
        for field in dataclasses.fields(value):
            key, default = f"{section}.{field.name}", getattr(value, field.name)
            shown = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
            shown = shown.lower() if isinstance(default, bool) else shown
            lines.append(f"  {f'{key}={shown}':34} {notes.get(field.name, '')}".rstrip())
    return "\n".join(lines)


def _comments(section: type) -> dict[str, str]:
    """Field name to its end-of-line comment in the class body."""
    notes = {}
    for line in inspect.getsource(section).splitlines():
        name, colon, rest = line.strip().partition(":")
        if colon and name.isidentifier() and "  # " in rest:
            notes[name] = rest.split("  # ", 1)[1]
    return notes


def fail(message: str, code: int) -> typing.NoReturn:
    """End the program with one line on stderr."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(code)
