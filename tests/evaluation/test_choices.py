"""The judge of edits with several valid outcomes, on pictures of squares whose answers are known."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v4e.evaluation.metrics.choices import (
    by_chance,
    judge,
    miscalibration,
    same_outcome,
    shares,
)

SIDE, SQUARE = 48, 10
PLACES = tuple((y, x) for y in (3, 19, 35) for x in (3, 19, 35))
COLORS = ((0.9, 0.1, 0.1), (0.1, 0.1, 0.9), (0.95, 0.9, 0.1), (0.1, 0.75, 0.2), (0.9, 0.3, 0.8))


def ground(seed: int) -> np.ndarray:
    """A quiet picture between dark and light grey, (SIDE, SIDE, 3) in [0, 1]."""
    corners = np.random.default_rng(seed).uniform(0.35, 0.65, (2, 2, 3))
    x = np.linspace(0, 1, SIDE)[:, None, None]
    rows = corners[0][None] * (1 - x) + corners[1][None] * x
    return np.stack([rows[:, 0] + f * (rows[:, 1] - rows[:, 0]) for f in np.linspace(0, 1, SIDE)], 1)


def with_square(image: np.ndarray, place: tuple[int, int], color, opacity: float = 1.0) -> np.ndarray:
    y, x = place
    made = image.copy()
    made[y : y + SQUARE, x : x + SQUARE] += opacity * (np.array(color) - made[y : y + SQUARE, x : x + SQUARE])
    return made


def to_bytes(image: np.ndarray) -> np.ndarray:
    return (image.clip(0, 1) * 255 + 0.5).astype(np.uint8)


@st.composite
def questions(draw) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """A source, 2 to 5 outcomes that differ in the place or in the color of a square, and their prior."""
    source, count = ground(draw(st.integers(0, 99))), draw(st.integers(2, 5))
    places, colors = draw(st.permutations(PLACES)), draw(st.permutations(COLORS))
    if draw(st.booleans()):
        outcomes = [with_square(source, place, colors[0]) for place in places[:count]]
    else:
        outcomes = [with_square(source, places[0], color) for color in colors[:count]]
    weights = [draw(st.integers(1, 9)) for _ in range(count)]
    return source, np.stack(outcomes), [w / sum(weights) for w in weights]


def ruling(question, edit: np.ndarray, outcomes=None):
    source, every, prior = question
    chosen = every if outcomes is None else outcomes
    return judge(to_bytes(source), to_bytes(chosen), prior[: len(chosen)], to_bytes(edit), 20.0)


@settings(max_examples=40, deadline=None)
@given(questions(), st.data())
def test_every_outcome_is_committed_to_also_with_a_codecs_noise(question, data):
    k = data.draw(st.integers(0, len(question[1]) - 1))
    noise = np.random.default_rng(data.draw(st.integers(0, 99))).normal(0, 0.03, question[0].shape)
    found = ruling(question, question[1][k] + noise)
    assert (found.kind, found.success, found.outcome) == ("committed", True, k)


@settings(max_examples=60, deadline=None)
@given(questions(), st.data())
def test_no_blend_with_at_most_half_of_any_outcome_is_committed_to(question, data):
    parts = np.array([data.draw(st.floats(0, 1)) for _ in question[1]]) + 1e-3
    parts /= parts.sum()
    for _ in range(9):  # what is above a half goes to the others
        parts = np.minimum(parts, 0.5)
        parts /= parts.sum()
    assert ruling(question, np.tensordot(np.minimum(parts, 0.5), question[1], 1)).kind != "committed"


@settings(max_examples=30, deadline=None)
@given(questions())
def test_means_of_outcomes_are_called_so(question):
    _, outcomes, prior = question
    for mean in (outcomes.mean(0), np.tensordot(np.array(prior), outcomes, 1), outcomes[:2].mean(0)):
        if max(prior) < 0.7:
            assert ruling(question, mean).kind == "mean-like"


@settings(max_examples=30, deadline=None)
@given(questions())
def test_a_valid_outcome_of_another_question_is_no_success(question):
    found = ruling(question, question[1][1], outcomes=question[1][:1])
    assert not found.success and found.kind == "broken"


@settings(max_examples=30, deadline=None)
@given(questions(), st.sampled_from([(3, 0), (0, 3), (-4, 2), (5, 5)]))
def test_a_near_miss_of_three_pixels_is_no_success(question, shift):
    source, outcomes, _ = question
    changed = np.abs(outcomes[0] - source).max(-1) > 0.01
    moved = source.copy()
    moved[np.roll(changed, shift, (0, 1))] = outcomes[0][changed]
    assert not ruling(question, moved).success


@settings(max_examples=30, deadline=None)
@given(questions(), st.floats(0.3, 1.0))
def test_an_outcome_that_holds_in_a_part_of_its_mask_is_no_success(question, missing):
    source, outcomes, _ = question
    rows = np.flatnonzero((np.abs(outcomes[0] - source).max(-1) > 0.01).any(1))
    undone = rows[: max(3, round(missing * len(rows)))]
    half = outcomes[0].copy()
    half[undone] = source[undone]
    assert not ruling(question, half).success


@settings(max_examples=30, deadline=None)
@given(questions())
def test_what_spoils_the_rest_is_broken(question):
    source, outcomes, _ = question
    used = (np.abs(outcomes - source).max((0, 3)) > 0.01).any()
    assert used
    free = next(
        p for p in PLACES if not (np.abs(outcomes - source)[:, p[0] : p[0] + SQUARE, p[1] : p[1] + SQUARE] > 0.01).any()
    )
    spoiled = with_square(outcomes[0], free, (0.0, 0.0, 0.0))
    assert ruling(question, spoiled).kind == "broken"


@settings(max_examples=20, deadline=None)
@given(questions())
def test_the_source_is_nothing_and_noise_is_broken(question):
    assert ruling(question, question[0]).kind == "nothing"
    noise = np.random.default_rng(0).uniform(0, 1, question[0].shape)
    assert ruling(question, noise).kind == "broken"


def test_a_closed_edit_is_a_success_or_not():
    source = ground(0)
    outcome = with_square(source, PLACES[4], COLORS[0])
    question = source, outcome[None], [1.0]
    assert ruling(question, outcome).committed
    for opacity in (0.3, 0.5):
        assert not ruling(question, with_square(source, PLACES[4], COLORS[0], opacity)).success


def test_what_cannot_be_judged_is_refused():
    source = to_bytes(ground(0))
    with pytest.raises(ValueError, match="the source itself"):
        judge(source, source[None], [1.0], source, 20.0)
    with pytest.raises(ValueError, match="1 outcomes have 2 priors"):
        judge(source, source[None], [0.5, 0.5], source, 20.0)


def test_shares_count_each_kind():
    source = ground(1)
    question = source, np.stack([with_square(source, place, COLORS[1]) for place in PLACES[:2]]), [0.5, 0.5]
    edits = (question[1][0], question[1][1], question[1].mean(0), source)
    found = shares([ruling(question, edit) for edit in edits])
    assert found == {"success": 0.5, "committed": 0.5, "mean-like": 0.25, "nothing": 0.25, "broken": 0.0, "n": 4}


def test_variety_is_compared_with_chance_and_the_prior_with_what_was_chosen():
    assert same_outcome([(0, 0), (0, 1), (None, 2), (1, None, 1)]) == pytest.approx(2 / 3)
    assert math.isnan(same_outcome([(None, 1)]))
    assert by_chance([(0.5, 0.5), (0.7, 0.2, 0.1)]) == pytest.approx((0.5 + 0.54) / 2)
    rng = np.random.default_rng(0)
    priors = [tuple(rng.dirichlet([1.0] * rng.integers(2, 7))) for _ in range(300)]
    drawn = [tuple(rng.choice(len(p), 4, p=p)) for p in priors]
    likeliest = [(int(np.argmax(p)),) * 4 for p in priors]
    assert same_outcome(drawn) == pytest.approx(by_chance(priors), abs=0.05)
    assert same_outcome(likeliest) == 1
    assert miscalibration(priors, drawn) < 0.02 < 0.1 < miscalibration(priors, likeliest)
    assert math.isnan(miscalibration(priors[:1], [(None,)]))
