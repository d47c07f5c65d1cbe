"""The settings that a result depends on: what stamps and fingerprints hold, and what a refusal compares."""

from collections.abc import Mapping
from dataclasses import fields
from functools import cache

from v4e.config.schema import Config
from v4e.config.setting import Outcome, before, decides, has_effect

MODELS = ("models.student", "models.teacher")


def decided_by(config: Config, *outcomes: Outcome, models: bool = True) -> dict[str, object]:
    """Returns the settings that decide any of `outcomes`: ``section.key`` to value as JSON keeps it, in order.

    With `models` false, the names of the models are left out, for a caller that hashes their weights.
    """
    found = {}
    for name, section in config.sections().items():
        for one in fields(section):
            key, value = f"{name}.{one.name}", getattr(section, one.name)
            if (key in MODELS and not models) or value == before(one):
                continue
            if set(outcomes) & set(decides(one)) and has_effect(section, one):
                found[key] = list(value) if isinstance(value, tuple) else value
    return found


def differing(made: Mapping[str, object], now: Mapping[str, object]) -> dict[str, tuple[object, object]]:
    """Returns the settings whose values differ, in order: key to (value in `made`, value in `now`).

    Both are by :func:`decided_by`. Of `made` only the keys count that `now` may leave out.

    A setting that stamps leave out has the value there that it had before it existed.
    """
    later = _later()
    keys = [*now, *(key for key in made if key in later and key not in now)]
    pairs = {key: (made.get(key, later.get(key)), now.get(key, later.get(key))) for key in keys}
    return {key: (had, has) for key, (had, has) in pairs.items() if had != has}


@cache
def _later() -> dict[str, object]:
    """Returns the settings that are younger than some results, and their values there as JSON keeps them."""
    sections = Config(recipe="").sections()
    found = {f"{name}.{one.name}": before(one) for name, section in sections.items() for one in fields(section)}
    return {
        key: list(value) if isinstance(value, tuple) else value for key, value in found.items() if value is not None
    }
