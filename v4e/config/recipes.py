"""Runs by name: a recipe is a function that returns a Config; ``section.key=value`` changes single fields of it."""

import dataclasses
import difflib
import inspect
import sys
import types
import typing
from typing import Any, Literal

from v4e.config.schema import Caption, Config, Data, Flow, Lora, Models, Optim, Precompute, Run, Tail, Teacher, Train


def tiny() -> Config:
    """The whole method on two CPU cores: the committed tiny Wan family on the evolution world."""
    return Config(
        recipe="tiny",
        tail=Tail(context="fade"),  # its clips are one evolution long
        optim=Optim(lr=3e-4, batch=8, accumulate=1, steps=1500, ema=0.995),
    )


def _wan14b(name: str, *, height: int, width: int, shift: float, size: str) -> Config:
    return Config(
        recipe=name,
        run=Run(dir=f"runs/{name}"),
        models=Models(
            student=f"Wan-AI/Wan2.1-I2V-14B-{size}-Diffusers",
            teacher="Wan-AI/Wan2.1-FLF2V-14B-720P-diffusers",  # the hub spells it so
            dtype="bfloat16",
            attention="flash",
            fold_pad=False,
        ),
        data=Data(height=height, width=width),
        caption=Caption(model="Qwen/Qwen2.5-7B-Instruct", refine=True, new_words=4, gpus=1),
        precompute=Precompute(readers=16, actors=8, gpus_per_actor=1),
        teacher=Teacher(steps=20, guidance=5.0, batch=1, gpus=1, replicas=2),
        kd=dataclasses.replace(Config(recipe=name).kd, taps=(9, 19, 29, 39)),  # ours: the paper names none
        flow=Flow(shift=shift),
        optim=Optim(),
        train=Train(workers=8, gpus_per_worker=1, dtype="bfloat16", recompute="full", reduce="each"),
    )


def wan14b_480p() -> Config:
    """The paper's student and teacher at 832 x 480, on 10 GPUs: 8 train, 2 teach. Not yet run."""
    return _wan14b("wan14b_480p", height=480, width=832, shift=3.0, size="480P")


def wan14b_720p() -> Config:
    """The paper's student and teacher at 1280 x 720, on 10 GPUs: 8 train, 2 teach. Not yet run."""
    return _wan14b("wan14b_720p", height=720, width=1280, shift=5.0, size="720P")


def wan14b_lora() -> Config:
    """The paper's student at 832 x 480 with adapters of rank 64 on a frozen bfloat16 base. Not yet run."""
    full = _wan14b("wan14b_lora", height=480, width=832, shift=3.0, size="480P")
    return dataclasses.replace(full, lora=Lora(rank=64))


RECIPES = {f.__name__: f for f in (tiny, wan14b_480p, wan14b_720p, wan14b_lora)}


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
        raise ValueError(f"unknown recipe {name!r}: {_nearest(name, list(RECIPES))}; recipes: {', '.join(RECIPES)}")
    config = RECIPES[name]()
    keys = {f"{s}.{f.name}" for s, section in config.sections().items() for f in dataclasses.fields(section)}
    changes: dict[str, dict[str, Any]] = {}
    for key, text in pairs:
        if key == "recipe":
            continue
        if key not in keys:
            raise ValueError(f"unknown key {key!r}: {_nearest(key, ['recipe', *sorted(keys)])}; --help lists all")
        section, field = key.split(".")
        hint = typing.get_type_hints(type(config.sections()[section]))[field]
        changes.setdefault(section, {})[field] = _read(key, text, hint)
    sections = {s: dataclasses.replace(config.sections()[s], **fields) for s, fields in changes.items()}
    return dataclasses.replace(config, **sections)


def _nearest(word: str, options: list[str]) -> str:
    close = difflib.get_close_matches(word, options, n=1, cutoff=0.0)
    return f"nearest is {close[0]}"


def _read(key: str, text: str, hint: Any) -> Any:
    """`text` as a value of type `hint`."""
    origin = typing.get_origin(hint)
    if origin is Literal:
        choices = [str(c) for c in typing.get_args(hint)]
        if text not in choices:
            raise ValueError(f"{key}={text}: {_nearest(text, choices)}; expected one of {', '.join(choices)}")
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


def to_json(config: Config) -> dict[str, Any]:
    """The config as plain data, for files."""
    return dataclasses.asdict(config)


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
