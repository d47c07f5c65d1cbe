"""The settings that a result depends on: what stamps and fingerprints hold, and what a refusal compares."""

from dataclasses import fields

from v4e.config.schema import Config
from v4e.config.setting import Outcome, decides, has_effect

MODELS = ("models.student", "models.teacher")


def decided_by(config: Config, *outcomes: Outcome, models: bool = True) -> dict[str, object]:
    """Returns the settings that decide any of `outcomes`: ``section.key`` to value as JSON keeps it, in order.

    With `models` false, the names of the models are left out, for a caller that hashes their weights.
    """
    found = {}
    for name, section in config.sections().items():
        for one in fields(section):
            key, value = f"{name}.{one.name}", getattr(section, one.name)
            if set(outcomes) & set(decides(one)) and has_effect(section, one) and (models or key not in MODELS):
                found[key] = list(value) if isinstance(value, tuple) else value
    return found
