"""The command line of every stage: ``recipe=NAME section.key=value ...`` to a Config."""

import dataclasses
import difflib
import math
import os
import re
import sys
import types
import typing
from typing import Any, Literal

from v4e.config.recipes import RECIPES
from v4e.config.schema import Config


def parse(argv: list[str]) -> Config:
    """Reads ``["recipe=tiny", "kd.weight=0", ...]`` as a Config.

    Raises:
        ValueError: names the bad argument, what was expected and the nearest valid one, in one line.
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
    """Reads `text` as a value of type `hint`."""
    origin = typing.get_origin(hint)
    if origin is Literal:
        choices = [str(c) for c in typing.get_args(hint)]
        if text not in choices:
            raise ValueError(f"{key}={text}: {nearest(text, choices)}; expected one of {', '.join(choices)}")
        return text
    if origin in (tuple, types.GenericAlias):
        if typing.get_args(hint)[0] is str:
            return tuple(at_home(part.strip()) for part in text.split(",") if part.strip())
        try:
            return tuple(int(part) for part in text.split(",") if part)
        except ValueError:
            raise ValueError(f"{key}={text}: expected comma-separated integers, e.g. {key}=1,3,5") from None
    if hint is bool:
        if text not in ("true", "false"):
            raise ValueError(f"{key}={text}: expected true or false")
        return text == "true"
    if hint is str:
        return at_home(text)
    try:
        value = hint(text.replace("_", ""))
    except ValueError:
        raise ValueError(f"{key}={text}: expected {'an integer' if hint is int else 'a number'}") from None
    if math.isnan(value):  # no setting means anything by it
        raise ValueError(f"{key}={text} must be a number: expected a number, not nan")
    return value


def at_home(text: str) -> str:
    """Returns `text`, such as ``~/x`` or ``NAME:~/x``, with the home folder in it: shells leave it alone there."""
    found = re.fullmatch(r"([\w-]+:)?(~|~[\w.-]*/.*)", text, re.DOTALL)
    return (found[1] or "") + os.path.expanduser(found[2]) if found else text


def written(value: object) -> str:
    """Returns a value as the command line takes it: ``1,3,5`` for a list, ``true`` for True."""
    if isinstance(value, tuple | list):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def fail(message: str, code: int) -> typing.NoReturn:
    """Ends the program with one line on stderr."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(code)
