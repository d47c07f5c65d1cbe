"""The settings that a result depends on: what stamps and fingerprints hold, and what a refusal compares."""

from collections.abc import Callable, Mapping
from dataclasses import Field, fields

from v4e.config.schema import Config
from v4e.config.setting import Outcome, before, decides, has_effect

MODELS = ("models.student", "models.teacher", "models.lora")


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

    A setting that stamps leave out has the value there that it had before it existed. Any other that `made` lacks is
    younger than it, and had its default there: by it results are made as they were before.
    """
    later, defaults = _values(before), _values(lambda one: one.default)
    keys = [*now, *(key for key in made if key in later and key not in now)]
    pairs = {key: (made.get(key, (defaults | later).get(key)), now.get(key, later.get(key))) for key in keys}
    return {key: (had, has) for key, (had, has) in pairs.items() if had != has}


def _values(of: Callable[[Field], object]) -> dict[str, object]:
    """Returns what `of` says of each setting, as JSON keeps it, but for None."""
    sections = Config(recipe="").sections()
    found = {f"{name}.{one.name}": of(one) for name, section in sections.items() for one in fields(section)}
    return {
        key: list(value) if isinstance(value, tuple) else value for key, value in found.items() if value is not None
    }
