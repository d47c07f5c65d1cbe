"""What each worker sees when: the order of old runs to the bit, and what buckets and weights leave of it."""

import hashlib
import json
from collections import Counter
from fractions import Fraction
from itertools import islice
from math import floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.order import sample_order
from tests.support.synthetic import config
from v4e.config import Config, Data
from v4e.data.store.header import Header, Texts
from v4e.method.flow import sample_seed
from v4e.training.mixing import mix_of, mix_rows
from v4e.training.schedule import Forwards, calls, requests

IDS = [f"w/{n:03d}" for n in range(23)]
TASKS = ("color", "tone", "text")
BUCKETS = ((8, 8), (4, 16), (16, 4))
CORPORA = ("", "nature")
PROPERTY = settings(deadline=None, max_examples=60)


def header(task: str, bucket: tuple[int, int] = (8, 8), corpus: str = "") -> Header:
    return Header(texts=Texts(instruction="i", caption="c", task=task, corpus=corpus), bucket=bucket)


def run_of(batch: int, accumulate: int, steps: int, seed: int = 0, aspect: str = "fixed", weights: str = "") -> Config:
    return config(
        optim={"batch": batch, "accumulate": accumulate, "steps": steps},
        run={"seed": seed},
        data={"aspect": aspect, "weights": weights},
    )


@st.composite
def runs(draw) -> tuple[dict[str, Header], Config]:
    """A few samples of all kinds, and a run on them with buckets or weights or both or neither."""
    kinds = draw(
        st.lists(
            st.tuples(st.sampled_from(TASKS), st.sampled_from(BUCKETS), st.sampled_from(CORPORA)),
            min_size=1,
            max_size=16,
        )
    )
    headers = {f"s{n:02d}": header(*kind) for n, kind in enumerate(kinds)}
    weights = draw(st.sampled_from(["", "color=2", "color=0.4,tone=3", "tone=1.7,text=0.3", "text=0.05,nature=1.5"]))
    names = {name for kind in kinds for name in kind if isinstance(name, str)}
    weights = ",".join(part for part in weights.split(",") if part.split("=")[0] in names or "nature" not in part)
    made = run_of(
        draw(st.integers(1, 5)),
        draw(st.sampled_from([1, 2, 4])),
        draw(st.integers(1, 12)),
        draw(st.integers(0, 3)),
        draw(st.sampled_from(["fixed", "buckets"])),
        weights,
    )
    return headers, made


def weight_of(made: Config, found: Header) -> Fraction:
    by_name = dict(part.split("=") for part in made.data.weights.split(",") if part)
    return Fraction(by_name.get(found.texts.task, "1")) * Fraction(by_name.get(found.texts.corpus, "1"))


# Without buckets and weights


def test_a_plain_run_sees_what_it_always_saw():
    """Recorded before there were buckets and weights: the figures of every run that is on record depend on it."""
    plain = requests(IDS, run_of(8, 1, 8), first_step=0)
    assert [(r.sample_ids[0], r.sample_ids[7], r.seeds[0]) for r in islice(plain, 4)] == [
        ("w/000", "w/010", 3324011359027853833),
        ("w/012", "w/016", 3877090760882789434),
        ("w/018", "w/008", 6624831845024926189),  # its last one is of epoch 1
        ("w/002", "w/000", 5899632028915469338),
    ]
    for made, count, digest in (
        (run_of(8, 1, 8), 23, "57c23c2e561a3a823cdc8875fa6587652653902d9d883342047bfcba67c540f8"),
        (run_of(2, 4, 3, seed=7), 5, "748b44ac31a3dacc11646045ce252e8016445f9781cda444fe717f2c9a064d37"),
        (run_of(3, 2, 3), 1, "93bccdd03a3966565a0b1d86cda10f2ac3d7969e75e331e10085dd2cca1515b7"),
    ):
        rows = [[list(r.sample_ids), list(r.seeds)] for r in requests(IDS[:count], made, first_step=0)]
        assert hashlib.sha256(json.dumps(rows).encode()).hexdigest() == digest


@PROPERTY
@given(st.integers(1, 30), st.integers(1, 7), st.integers(0, 3))
def test_a_plain_run_is_the_row_of_epochs_cut_into_forwards(count: int, batch: int, seed: int):
    made = run_of(batch, 2, 6, seed)
    row = [(key, epoch) for epoch in range(12 * batch) for key in sample_order(IDS[:count], seed, epoch)]
    for number, request in enumerate(requests(IDS[:count], made, first_step=0)):
        cut = row[number * batch : (number + 1) * batch]
        assert request.sample_ids == tuple(key for key, _ in cut)
        assert request.seeds == tuple(sample_seed(seed, key, epoch) for key, epoch in cut)


def test_without_buckets_and_weights_no_store_is_read():
    assert len(list(requests(IDS, run_of(2, 2, 3), first_step=0))) == 6
    for made in (run_of(2, 2, 3, aspect="buckets"), run_of(2, 2, 3, weights="color=2")):
        with pytest.raises(FileNotFoundError, match="no store at"):
            next(requests(IDS, made, first_step=0))


# With them


@PROPERTY
@given(runs())
def test_all_forwards_are_full_and_of_one_bucket(run):
    headers, made = run
    for request in requests(list(headers), made, first_step=0, headers=headers):
        assert len(request.sample_ids) == made.optim.batch
        if made.data.aspect == "buckets":
            assert len({headers[key].bucket for key in request.sample_ids}) == 1


@PROPERTY
@given(runs())
def test_it_is_what_one_gets_by_filling_forwards_one_draw_after_the_other(run):
    """Against a plain loop over all draws, and from any place in the list as from its beginning."""
    headers, made = run
    mix = mix_of(list(headers), made, headers)
    wanted = made.optim.steps * made.optim.accumulate
    expected: list[list[tuple[str, int]]] = []
    times, open_forwards = Counter(), {}
    for epoch in range(10_000):
        if len(expected) >= wanted:
            break
        counts = dict(zip(mix.ids, (mix.drawn(epoch + 1) - mix.drawn(epoch)).tolist(), strict=True))
        draws = [(key, times[key] + repeat) for key in mix.ids for repeat in range(counts[key])]
        times.update(counts)
        place = {
            draw: hashlib.blake2b(f"{made.run.seed}/{draw[1]}/{draw[0]}".encode(), digest_size=16).digest()
            for draw in draws
        }
        for draw in sorted(draws, key=lambda draw: place[draw]):
            bucket = headers[draw[0]].bucket if made.data.aspect == "buckets" else None
            forward = open_forwards.setdefault(bucket, [])
            forward.append(draw)
            if len(forward) == made.optim.batch:
                expected.append(open_forwards.pop(bucket))
    in_order = Forwards(mix, made.optim.batch, made.run.seed)
    assert [in_order.at(number) for number in range(wanted)] == expected[:wanted]
    for number in range(0, wanted, max(1, wanted // 5)):
        assert Forwards(mix, made.optim.batch, made.run.seed).at(number) == expected[number]


@pytest.mark.slow
@PROPERTY
@given(runs(), st.data())
def test_resumed_and_resized_runs_go_on_where_they_were(run, data):
    headers, made = run
    ids = list(headers)
    whole = list(requests(ids, made, first_step=0, headers=headers))
    accumulate = made.optim.accumulate
    step = data.draw(st.integers(0, made.optim.steps))
    assert list(requests(ids, made, first_step=step, headers=headers)) == whole[step * accumulate :]
    shuffled_ids = data.draw(st.permutations(ids))
    for world in {1, 2, accumulate} if accumulate > 1 else {1}:
        ranks = [
            list(requests(shuffled_ids, made, first_step=step, rank=rank, world=world, headers=headers))
            for rank in range(world)
        ]
        for number, request in enumerate(whole[step * accumulate :]):
            at_step, forward = divmod(number, accumulate)
            assert ranks[forward % world][(at_step * accumulate + forward) // world] == request


@pytest.mark.slow
@PROPERTY
@given(runs())
def test_every_draw_is_a_new_one_and_no_sample_runs_ahead_in_its_bucket(run):
    """Each (sample, time) once: no noise is seen twice. At any moment each sample of a bucket has had its epochs."""
    headers, made = run
    mix = mix_of(list(headers), made, headers)
    forwards = Forwards(mix, made.optim.batch, made.run.seed)
    times: Counter[str] = Counter()
    seen: set[tuple[str, int]] = set()
    for number in range(made.optim.steps * made.optim.accumulate):
        for key, time in forwards.at(number):
            assert (key, time) not in seen
            seen.add((key, time))
            if not made.data.weights:
                assert time == times[key]
            times[key] += 1
        for bucket in {headers[key].bucket for key in headers}:
            mine = [times[key] for key in headers if made.data.aspect == "fixed" or headers[key].bucket == bucket]
            if not made.data.weights:
                assert max(mine) - min(mine) <= 1


@PROPERTY
@given(runs(), st.integers(1, 200))
def test_weights_are_kept_exactly_and_no_sample_is_lost(run, epochs: int):
    headers, made = run
    mix = mix_of(list(headers), made, headers)
    drawn = dict(zip(mix.ids, mix.drawn(epochs).tolist(), strict=True))
    groups: dict[tuple[str, str], list[str]] = {}
    for key, found in headers.items():
        assert abs(drawn[key] - epochs * weight_of(made, found)) < 1
        groups.setdefault((found.texts.task, found.texts.corpus), []).append(key)
    for members in groups.values():
        assert sum(drawn[key] for key in members) == floor(len(members) * epochs * weight_of(made, headers[members[0]]))


def test_what_an_epoch_leaves_open_is_filled_by_the_next():
    """13 samples of one bucket and 3 of another in forwards of 8: after 8 epochs each was drawn 8 times."""
    headers = {key: header("color", BUCKETS[n < 3]) for n, key in enumerate(IDS[:16])}
    made = run_of(8, 1, 16, aspect="buckets")
    seen = [r.sample_ids for r in requests(IDS[:16], made, first_step=0, headers=headers)]
    assert set(Counter(key for keys in seen for key in keys).values()) == {8}
    assert len(set(seen[0])) == 8, "the first epoch's first forward is of 8 samples"
    left_out = [set(IDS[3:16]) - set(keys) for keys in seen if keys[0] in IDS[3:16]]
    assert len({frozenset(ids) for ids in left_out}) > 1, "no sample is left out for ever"


def test_half_a_weight_draws_one_half_and_then_the_other():
    headers = {key: header("tone") for key in IDS[:8]}
    made = run_of(4, 1, 4, weights="tone=0.5")
    seen = [r.sample_ids for r in requests(IDS[:8], made, first_step=0, headers=headers)]
    assert sorted(seen[0] + seen[1]) == IDS[:8] == sorted(seen[2] + seen[3])
    assert set(seen[0]) == set(seen[2])
    other = [
        r.sample_ids for r in requests(IDS[:8], run_of(4, 1, 4, 1, weights="tone=0.5"), first_step=0, headers=headers)
    ]
    assert set(seen[0]) != set(other[0]), "which half comes first is the seed's"


def test_weight_0_leaves_out_and_the_last_one_cannot_go():
    headers = {key: header("tone" if n % 2 else "color") for n, key in enumerate(IDS)}
    made = run_of(4, 1, 12, weights="tone=0")
    seen = {key for r in requests(IDS, made, first_step=0, headers=headers) for key in r.sample_ids}
    assert seen == set(IDS[::2])
    with pytest.raises(ValueError, match=r"data\.weights=tone=0,color=0 leaves none of the 23 samples"):
        mix_of(IDS, run_of(4, 1, 12, weights="tone=0,color=0"), headers)


def test_weights_of_nothing_are_refused():
    headers = {key: header("color", corpus="omniedit") for key in IDS}
    mix_of(IDS, run_of(1, 1, 1, weights="removal=2,omniedit=2"), headers)
    with pytest.raises(
        ValueError, match=r"colour is no task and no corpus of the store: expected addition, .*, omniedit$"
    ):
        mix_of(IDS, run_of(1, 1, 1, weights="colour=2"), headers)


@pytest.mark.parametrize(
    "text", ["color", "color=", "=2", "color=-1", "color=nan", "color=1e9", "color=1e-9", "color=x"]
)
def test_weights_out_of_range_are_refused(text: str):
    with pytest.raises(ValueError, match=r"expected name=number, of 0 or from 0\.01 to 100"):
        Data(weights=text)
    with pytest.raises(ValueError, match="color is given twice"):
        Data(weights="color=1,color=2")


def test_the_plan_counts_tasks_corpora_and_buckets():
    headers = {
        key: header("tone" if n < 3 else "color", BUCKETS[n % 2], "nature" if n < 10 else "")
        for n, key in enumerate(IDS)
    }
    made, plain = run_of(4, 2, 1), {key: header("color") for key in IDS}
    assert mix_rows(mix_of(IDS, made, plain), plain, made) == {"tasks": "color 23 (100%)"}
    made = run_of(4, 2, 1, aspect="buckets", weights="tone=4")
    assert mix_rows(mix_of(IDS, made, headers), headers, made) == {
        "tasks": "color 20 (62%), tone 3 -> 12 (38%)",
        "corpora": "nature 10 -> 19 (59%), unnamed 13 (41%)",
        "buckets": "4 x 16 11 -> 14 (44%), 8 x 8 12 -> 18 (56%), in latents; 4 of one bucket a forward",
        "epoch": "32 draws of 23 samples, by data.weights=tone=4",
    }


# The teacher's calls


@PROPERTY
@given(runs(), st.integers(1, 5))
def test_calls_hold_every_sample_once_in_order_and_mix_no_buckets(run, size: int):
    headers, made = run
    found = calls(list(headers), size, made, headers)
    assert sorted(key for call in found for key in call) == sorted(headers)
    if made.data.aspect == "fixed":
        ids = list(headers)
        assert found == [tuple(ids[at : at + size]) for at in range(0, len(ids), size)]
        return
    for bucket in {found.bucket for found in headers.values()}:
        mine = [call for call in found if headers[call[0]].bucket == bucket]
        ids = [key for key in headers if headers[key].bucket == bucket]
        assert mine == [tuple(ids[at : at + size]) for at in range(0, len(ids), size)]
