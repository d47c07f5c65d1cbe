"""Quotas: the paper's mix by iterative proportional fitting with bounds, against an independent optimum."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize

from v4e.config import Ingest
from v4e.data.ingest.quota import TABLE3_TASKS, _fit, corpus_shares, fill, fit_counts, spread, task_shares
from v4e.language.tasks import TASKS

PAPER = ("omniedit", "hqedit", "ultraedit")


def tables(least: int, most: int):
    """Bounds of S x K cells, with shares."""
    return st.integers(2, 4).flatmap(
        lambda s: st.integers(2, 5).flatmap(
            lambda k: st.tuples(
                st.lists(st.lists(st.integers(least, most), min_size=k, max_size=k), min_size=s, max_size=s).map(
                    np.array
                ),
                st.lists(st.integers(1, 9), min_size=s, max_size=s).map(lambda w: np.array(w) / sum(w)),
                st.lists(st.integers(1, 9), min_size=k, max_size=k).map(lambda w: np.array(w) / sum(w)),
            )
        )
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_table_is_the_one_nearest_to_uniform(seed: int):
    """scipy minimizes sum x log x under the same margins and bounds; margins are those of a table within the bounds."""
    rng = np.random.default_rng(seed)
    most_SK = rng.uniform(2, 20, (3, 4)) * (rng.random((3, 4)) < 0.8)
    inside_SK = most_SK * rng.uniform(0.2, 0.8, (3, 4))
    rows_S, columns_K = inside_SK.sum(1), inside_SK.sum(0)
    margins = np.array([np.eye(3)[s].repeat(4) for s in range(3)] + [np.tile(np.eye(4)[k], 3) for k in range(4)])
    margins, sums = margins[:-1], np.r_[rows_S, columns_K][:-1]  # the last one follows from the others
    best = minimize(
        lambda x: float(np.sum(x * np.log(np.maximum(x, 1e-12)))),
        inside_SK.ravel(),
        jac=lambda x: np.log(np.maximum(x, 1e-12)) + 1,
        bounds=[(0.0, float(bound)) for bound in most_SK.ravel()],
        constraints={"type": "eq", "fun": lambda x: margins @ x - sums, "jac": lambda _: margins},
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-12},
    )
    found_SK = _fit(rows_S, columns_K, most_SK)
    assert np.allclose(found_SK.sum(0), columns_K) and np.allclose(found_SK.sum(1), rows_S, atol=1e-4)
    assert (found_SK <= most_SK + 1e-9).all()
    ours, theirs = (float(np.sum(x * np.log(np.maximum(x, 1e-12)))) for x in (found_SK.ravel(), best.x))
    assert ours <= theirs + 1e-4
    assert np.abs(found_SK.ravel() - best.x).max() < 0.02


@settings(deadline=None)
@given(tables(1_000, 10**6), st.integers(10, 500))
def test_without_bounds_it_is_the_product_of_the_shares(made, total: int):
    most_SK, share_S, share_K = made
    found_SK = fit_counts(total, share_S, share_K, most_SK)
    assert found_SK.sum() == total
    assert np.abs(found_SK - total * share_S[:, None] * share_K).max() <= 2
    assert np.abs(found_SK.sum(0) - total * share_K).max() < 1
    assert np.abs(found_SK.sum(1) - total * share_S).max() <= 2


@settings(max_examples=50, deadline=None)
@given(tables(0, 40), st.integers(1, 200))
def test_a_task_gets_its_share_or_all_there_is(made, total: int):
    most_SK, share_S, share_K = made
    found_SK = fit_counts(total, share_S, share_K, most_SK)
    assert (found_SK >= 0).all() and (found_SK <= most_SK).all()
    free_K = fit_counts(total, share_S, share_K, np.full_like(most_SK, total)).sum(0)
    assert found_SK.sum(0).tolist() == np.minimum(free_K, most_SK.sum(0)).tolist()


@settings(max_examples=50, deadline=None)
@given(tables(0, 40), st.integers(1, 200))
def test_corpora_are_met_where_any_table_meets_them(made, total: int):
    """linprog says whether one exists; then no corpus is off by more than rounding, half a triplet a task."""
    most_SK, share_S, share_K = made
    found_SK = fit_counts(total, share_S, share_K, most_SK)
    rows_S, (s, k) = share_S * found_SK.sum(), most_SK.shape
    margins = np.array([np.eye(s)[i].repeat(k) for i in range(s)] + [np.tile(np.eye(k)[j], s) for j in range(k)])
    bounds = [(0, int(most)) for most in most_SK.ravel()]
    exact = np.r_[rows_S, found_SK.sum(0)]
    exists = linprog(np.zeros(s * k), A_eq=margins, b_eq=exact, bounds=bounds).status == 0
    if exists and found_SK.sum():
        assert np.abs(found_SK.sum(1) - rows_S).max() <= 1 + k / 2


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0.01, 9), st.floats(0, 50)), min_size=1, max_size=6), st.floats(0, 1))
def test_a_level_fills_to_the_total(pairs, part: float):
    weight_N, most_N = (np.array(values) for values in zip(*pairs, strict=True))
    total = part * most_N.sum()
    filled_N = fill(weight_N, most_N, total)
    assert filled_N.sum() == pytest.approx(total, abs=1e-6)
    ratios = (filled_N / weight_N)[filled_N < most_N - 1e-9]
    assert ratios.size == 0 or np.ptp(ratios) < 1e-6, "what is not full rises alike"


def test_the_papers_mix():
    """Its shares add up to 101.1 %: their ratios count. OmniEdit has neither text nor portraits."""
    ingest = Ingest()
    most_SK = np.full((3, 11), 10**6)
    most_SK[0, [TASKS.index("text"), TASKS.index("portrait")]] = 0
    found_SK = fit_counts(9_900, corpus_shares(ingest, PAPER), task_shares(ingest), most_SK)
    assert found_SK.sum(0).tolist() == [744, 960, 911, 1087, 773, 1195, 705, 950, 1028, 734, 813]
    assert found_SK.sum(1).tolist() == [3366, 3267, 3267]
    assert found_SK[0, TASKS.index("text")] == 0
    assert spread(found_SK.sum(0)) == pytest.approx(100 * np.std(list(TABLE3_TASKS.values())) / 101.1, abs=0.01)
    assert tuple(TABLE3_TASKS) == TASKS


def test_a_corpus_that_is_short_is_made_up_for_by_the_others():
    ingest = Ingest()
    most_SK = np.full((3, 11), 10**6)
    most_SK[2, 0] = 20
    found_SK = fit_counts(9_900, corpus_shares(ingest, PAPER), task_shares(ingest), most_SK)
    assert found_SK[2, 0] == 20 and found_SK[:, 0].sum() == 744
    assert found_SK.sum(1).tolist() == [3366, 3267, 3267], "within the corpus, other tasks make up for it"


def test_shares_are_changed_by_name():
    ingest = Ingest(shares="hqedit=0,omniedit=50", tasks="text=0")
    assert corpus_shares(ingest, PAPER).tolist() == pytest.approx([50 / 83, 0, 33 / 83])
    found_SK = fit_counts(100, corpus_shares(ingest, PAPER), task_shares(ingest), np.full((3, 11), 1000))
    assert found_SK[1].sum() == 0 and found_SK[:, TASKS.index("text")].sum() == 0 and found_SK.sum() == 100
    with pytest.raises(ValueError, match=r"ingest\.shares=laion=3: laion is none of omniedit, hqedit, ultraedit"):
        corpus_shares(Ingest(shares="laion=3"), PAPER)
    with pytest.raises(ValueError, match=r"ingest\.tasks=.* leaves nothing"):
        task_shares(Ingest(tasks=",".join(f"{task}=0" for task in TASKS)))
    with pytest.raises(ValueError, match=r"ingest\.tasks=text: expected name=number"):
        Ingest(tasks="text")
