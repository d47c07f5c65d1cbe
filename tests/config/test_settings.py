"""What every setting says of itself, and that stamps, fingerprints and refusals hold what the settings say."""

import copy
import dataclasses
import hashlib
import json
import typing
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.stages import caption, evaluate
from v4e.config import RECIPES, Config, Outcome, decided_by, differing, objective, parse
from v4e.config.reference import OUTCOMES, describe, page
from v4e.config.setting import decides, help_of
from v4e.data.ingest.manifest import fingerprint
from v4e.data.store import fingerprint as store
from v4e.evaluation.heldout import HeldoutModel
from v4e.evaluation.suites.generation import SuiteModel, manifest
from v4e.training.model_card import card

ROOT = Path(__file__).resolve().parents[2]
FIELDS = {
    f"{name}.{one.name}": one
    for name, section in Config(recipe="").sections().items()
    for one in dataclasses.fields(section)
}
BUCKETS = (
    *("data.aspect=buckets", "data.resolutions=2", "data.width=64", "tail.context=fade", "models.dtype=bfloat16"),
    *("run.seed=4", "ingest.count=7", "ingest.readers=5", "data.max_pixels=5"),
)


# The reference


def test_every_setting_says_what_it_is_and_what_it_decides():
    """By :func:`v4e.config.setting.setting`: a plain default would have no such metadata."""
    silent = [key for key, one in FIELDS.items() if not {"help", "decides"} <= set(one.metadata) or not help_of(one)]
    assert len(FIELDS) > 200 and not silent


def test_every_result_is_explained_and_decided_by_a_setting():
    assert set(OUTCOMES) == set(typing.get_args(Outcome))
    assert set(OUTCOMES) == {outcome for one in FIELDS.values() for outcome in decides(one)}


def test_help_shows_every_setting_with_its_default_its_choices_and_its_help():
    text = " ".join(describe().split())
    for section, value in parse([]).sections().items():
        hints = typing.get_type_hints(type(value))
        for one in dataclasses.fields(value):
            assert f" {section}.{one.name}=" in text and " ".join(help_of(one).split()) in text
            if typing.get_origin(hints[one.name]) is typing.Literal:
                assert f"[{' | '.join(typing.get_args(hints[one.name]))}]" in text
    assert " kd.taps=1,3,5 " in text and " run.overwrite=false " in text


def test_the_page_of_settings_is_up_to_date():
    assert (ROOT / "docs/config.md").read_text() == page(), (
        "docs/config.md is not of these settings: run python -m v4e.config.reference > docs/config.md"
    )


# Fingerprints


@pytest.fixture
def unread_weights(monkeypatch):
    """Names of folders in place of hashes of their weights: those of 14B are not here."""
    for module in (store, evaluate):
        monkeypatch.setattr(module, "folder_hash", lambda folder, parts: f"{folder} {' '.join(parts)}")
    monkeypatch.setattr(store, "lora_hash", lambda place: place)


MAKERS = ("teacher.steps=50", "teacher.shift=16", "teacher.guidance=5.5")  # of the 14B recipes until 2026-12


def digest(settings: object) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("arguments", "features", "rollouts", "triplets"),
    [
        (["recipe=tiny"], "fe16542a78561047", "55d1b9255a7b9901", "11255438c56dd648"),
        (["recipe=wan14b_480p", *MAKERS], "3d3155e3d27de5e4", "8a4b62177c738009", "11255438c56dd648"),
        (["recipe=wan14b_720p", *MAKERS], "3c82f736a5ae8d2f", "e04901faea266cc2", "11255438c56dd648"),
        (["recipe=wan14b_lora", *MAKERS], "3d3155e3d27de5e4", "8a4b62177c738009", "11255438c56dd648"),
        (BUCKETS, "ecf3036f753486ce", "b76b28f154887f66", "8225dd6a4b38256a"),
    ],
)
def test_stores_rollouts_and_triplets_of_earlier_versions_are_known_again(
    arguments, features, rollouts, triplets, unread_weights
):
    config = parse([*arguments])
    assert digest(store.store_settings(config)) == features
    assert store.rollout_fingerprint(config)[:16] == rollouts
    assert fingerprint(config, [], frozenset())[:16] == triplets


def test_every_recipe_has_its_fingerprints_in_the_test_above():
    assert list(RECIPES) == ["tiny", "wan14b_480p", "wan14b_720p", "wan14b_lora"]


def test_a_run_of_an_earlier_version_may_go_on():
    """The settings that training.json holds, with sizes that only buckets have, without the backend."""
    assert digest(decided_by(parse([*BUCKETS]), "training")) == "2ccb5845b83540c0"


def test_what_a_result_lacks_was_as_before_the_setting_or_its_default():
    """``tail.times`` and ``teacher.payload`` came later: older runs supervised at all timesteps and sent bf16."""
    assert "tail.times" not in decided_by(parse([]), "training")
    now = decided_by(parse(["tail.times=0.25", "teacher.payload=fp8"]), "training")
    assert differing({}, {key: now[key] for key in ("tail.times", "teacher.payload")}) == {
        "tail.times": ("all", "0.25"),
        "teacher.payload": ("bf16", "fp8"),
    }
    assert differing({"kd.weight": 1}, {"kd.weight": 2}) == {"kd.weight": (1, 2)}
    assert differing({"gone": 1}, {}) == {}


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_result_from_before_any_one_of_the_settings_is_still_the_defaults(outcome):
    default = decided_by(Config(recipe=""), outcome)
    for key in default:
        older = {name: value for name, value in default.items() if name != key}
        assert differing(older, default) == {}, key


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("tail.times=all", "1.0 kd + 20.0 tail + 0.0 flow"),
        ("tail.times=0.25", "1.0 kd + 20.0 tail at t <= 0.25 (10 % of the draws) + 0.0 flow"),
        ("tail.times=8/8", "1.0 kd + 20.0 tail in step 8 of 8 (12 % of the draws) + 0.0 flow"),
        ("tail.times=7,8/8", "1.0 kd + 20.0 tail in steps 7, 8 of 8 (25 % of the draws) + 0.0 flow"),
    ],
)
def test_plan_and_card_say_the_objective_with_the_times_of_its_tail(argument, words):
    config = parse([argument])
    assert objective(config.kd, config.tail, config.flow) == words
    assert f"| loss | {words} |" in card(config, step=1, weights="ema", samples="", records=[])


def test_sizes_of_buckets_decide_nothing_without_buckets():
    assert decided_by(parse(["data.max_aspect=9"]), *OUTCOMES) == decided_by(parse([]), *OUTCOMES)
    assert "data.max_aspect" in decided_by(parse([*BUCKETS]), "features")


# Stamps


def ours(config: Config) -> object:
    return manifest(config, SuiteModel(name="ema", folder="here", ours=True), f"hash of {config.models.student}", {})


def theirs(config: Config) -> object:
    return manifest(config, SuiteModel(name="other", folder="there", ours=False), "hash", {})


def edits(config: Config) -> object:
    return [evaluate.made_by(config, model) for model in evaluate.models(config)]


STAMPS: dict[Outcome, Callable[[Config], object]] = {
    "triplets": lambda config: fingerprint(config, [], frozenset()),
    "features": store.store_settings,
    "rollouts": store.rollout_fingerprint,
    "edits": edits,
    "benchmark edits": ours,
    "foreign edits": theirs,
}


def other(config: Config, key: str) -> Config:
    """`config` with another value of one setting, whatever the checks would say to it."""
    name, _, field = key.partition(".")
    section = copy.copy(config.sections()[name])
    value, hint = getattr(section, field), typing.get_type_hints(type(section))[field]
    if typing.get_origin(hint) is typing.Literal:
        value = next(choice for choice in typing.get_args(hint) if choice != value and choice != "fixed")
    elif isinstance(value, bool):
        value = not value
    elif isinstance(value, tuple):
        value = (*value, 99)
    else:
        value = value + ("x" if isinstance(value, str) else 16)
    object.__setattr__(section, field, value)
    changed = copy.copy(config)
    object.__setattr__(changed, name, section)
    return changed


@pytest.mark.slow
@pytest.mark.parametrize("outcome", STAMPS)
def test_a_stamp_changes_with_the_settings_that_decide_its_result_and_with_no_others(outcome, unread_weights):
    config, stamp = parse(["data.aspect=buckets"]), STAMPS[outcome]
    keys = [key for key in FIELDS if key != "data.aspect"]
    changing = {key for key in keys if stamp(other(config, key)) != stamp(config)}
    assert changing == {key for key in keys if outcome in decides(FIELDS[key])}
    fixed = parse([])
    assert (stamp(fixed) != stamp(config)) == (outcome in decides(FIELDS["data.aspect"]))


def test_the_hash_of_the_prompts_holds_settings_of_captions_alone():
    config = parse([])
    before = caption._prompt_hash(config, "m")
    changing = {key for key in FIELDS if caption._prompt_hash(other(config, key), "m") != before}
    assert "caption.vote" in changing and all(decides(FIELDS[key]) == ("captions",) for key in changing)


def test_a_reconstruction_is_made_again_for_another_grid_and_not_for_another_sampler(unread_weights):
    def stamp(*arguments: str) -> object:
        return evaluate.made_by(parse([*arguments]), HeldoutModel(name="vae", folder="here", reconstructs=True))

    assert stamp() == stamp("sample.steps=3", "run.seed=2", "flow.shift=1", "tail.context=edit")
    changed = ("data.frames=9", "data.width=64", "models.dtype=bfloat16")
    assert len({str(stamp(*change)) for change in ((), *((one,) for one in changed))}) == 4
