"""What a target weighs: packing within the bounds of its number format, and what a stream of such targets holds."""

import time
import weakref
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.stream.packing import pack, unpack
from actors.student.worker import Batches
from actors.teacher.actor import Teacher
from tests.support.synthetic import rolled_out, stored
from v4e.training.student import StudentTrainer
from v4e.types import TargetRequest, TeacherTarget
from v4e.weights.load import load_dit
from v4e.wire import packed_bytes

SHAPES = st.tuples(*(st.integers(1, high) for high in (3, 2, 5, 33)))
OPTIONS = ("bf16", "fp8")


def token_scaled(shape: tuple[int, ...], seed: int, low: int, high: int) -> torch.Tensor:
    """Random states whose tokens lie between 2^low and 2^high apart, some values zero, one an outlier."""
    generator = torch.Generator().manual_seed(seed)
    h = torch.randn(shape, generator=generator).clamp(-4, 4)
    h[torch.rand(shape, generator=generator) < 0.1] = 0
    h[..., 0] *= 8
    exponents = torch.randint(low, high + 1, (*shape[:3], 1), generator=generator)
    return torch.ldexp(h, exponents)


@given(shape=SHAPES, seed=st.integers(0, 2**31), dtype=st.sampled_from([torch.float32, torch.bfloat16]))
@settings(max_examples=200, deadline=None)
def test_fp8_is_within_e4m3s_bound_of_every_tokens_amax(shape, seed, dtype):
    h = token_scaled(shape, seed, -100, 120).to(dtype)
    found, h = unpack(pack(h, "fp8")), h.float()
    assert found.dtype == torch.bfloat16
    amax = h.abs().amax(-1, keepdim=True).double()
    error = (found.double() - h.double()).abs()
    # Half a step: 2^-4 of a normal value, 2^-10 of the scale of a subnormal one; then bfloat16's 2^-9 of the product.
    bound = torch.maximum(h.abs().double() * 2**-4, amax / 448 * 2**-10) + found.abs().double() * 2**-8
    assert (error <= bound * (1 + 1e-5)).all()
    assert (error <= amax * (16 / 448 + 2**-8)).all()


@given(shape=SHAPES, payload=st.sampled_from(OPTIONS))
@settings(max_examples=50, deadline=None)
def test_bytes_are_the_formulas_and_contiguous(shape, payload):
    taps, batch, tokens, width = shape
    bits = pack(torch.randn(shape), payload)
    formula = {"bf16": 2 * taps * batch * tokens * width, "fp8": taps * batch * tokens * (width + 4)}[payload]
    assert bits.nbytes == packed_bytes(shape, payload) == formula
    assert bits.is_contiguous()
    assert unpack(bits).shape == shape


def test_fp8_values_on_e4m3s_grid_come_back_to_the_bit():
    grid = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).float()
    h = torch.ldexp(grid[grid.isfinite()], torch.tensor(-7)).reshape(1, 1, 1, -1)  # amax 448 * 2^-7: a scale of 2^-7
    assert torch.equal(unpack(pack(h, "fp8")).float(), h)


@pytest.mark.parametrize("value", [0.0, 1e-45, 1e-38, torch.finfo(torch.bfloat16).max, 1.0])
def test_fp8_takes_every_magnitude_of_bfloat16(value):
    h = torch.zeros(1, 1, 3, 8)
    h[0, 0, 1] = value
    h[0, 0, 1, ::2] *= -1
    found = unpack(pack(h, "fp8")).float()
    assert found.isfinite().all()
    assert (found[0, 0, ::2] == 0).all(), "tokens of zeros stay zeros"
    assert torch.allclose(found, h, rtol=2**-4, atol=2e-41)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_fp8_refuses_what_is_not_finite_and_bf16_carries_it(value):
    h = torch.ones(2, 3, 4, 5)
    h[1, 2, 3, 4] = value
    with pytest.raises(ValueError, match=r"teacher\.payload=fp8.*tap 1, sample 2, token 3 .*not finite"):
        pack(h, "fp8")
    assert torch.equal(unpack(pack(h))[1, 2, 3, 4], torch.tensor(value).bfloat16()) or value != value


def test_fp8_unpacks_from_read_only_memory_and_leaves_it():
    array = pack(torch.randn(2, 1, 3, 7), "fp8").numpy()
    before = array.copy()
    array.flags.writeable = False
    unpack(torch.from_numpy(array)).zero_()
    assert np.array_equal(array, before)


# The teacher and its stream


@pytest.fixture(scope="module")
def run(tmp_path_factory, random_family):
    config = stored(tmp_path_factory.mktemp("run"), random_family, 6)
    rolled_out(config)
    return config


def requests_of(rank: int, count: int, batch: int) -> list[TargetRequest]:
    """Of one student rank; `batch` samples each, in part the same ones with other noise."""
    return [
        TargetRequest(
            sample_ids=tuple(f"s{(n + b) % 6:03d}" for b in range(batch)),
            seeds=tuple(1000 * rank + 100 * n + b for b in range(batch)),
        )
        for n in range(count)
    ]


def test_a_teacher_sends_what_its_payload_says(run):
    [request] = requests_of(0, 1, 2)
    teacher = Teacher(run)
    h = teacher.taps(request)
    for payload in OPTIONS:
        teacher.config = replace(run, teacher=replace(run.teacher, payload=payload))
        assert torch.equal(teacher.targets(request), pack(h, payload))


def test_a_teacher_sends_the_tail_alone_when_told_to(run):
    [request] = requests_of(0, 1, 2)
    teacher = Teacher(run)
    h_KBFND = teacher.taps(request).unflatten(2, (2, 16))
    teacher.config = replace(run, teacher=replace(run.teacher, tokens="tail"))
    assert torch.equal(teacher.taps(request), h_KBFND[:, :, 1])


def test_training_lets_go_of_a_target_before_the_next_is_asked_for(run):
    def answered():
        for request in requests_of(0, 4, 2):
            target = TeacherTarget(taps_KBND=torch.randn(3, 2, 32, 160).bfloat16())
            bits = weakref.ref(target.taps_KBND)
            yield request, target
            del target
            assert bits() is None, "it is still held where the stream asks for one more in its place"

    trainer = StudentTrainer(run, load_dit(run.models.student, torch.float32), device=torch.device("cpu"))
    source = iter(Batches(run, answered()))
    for _ in range(2):
        trainer.step(islice(source, trainer.forwards))
    assert next(source, None) is None


@pytest.mark.ray
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"payload": "bf16"}, marks=pytest.mark.long),
        pytest.param({"payload": "fp8"}, marks=pytest.mark.long),
        {"payload": "fp8", "tokens": "tail"},
    ],
)
def test_the_object_store_holds_at_most_ranks_x_prefetch_x_bytes(run, cluster, options):
    import ray
    from ray._private.internal_api import get_memory_info_reply, get_state_from_address

    from actors.stream.stream import TargetStream
    from actors.teacher.pool import await_pool, start_pool, stop_pool

    def held() -> int:
        state = get_state_from_address(ray.get_runtime_context().gcs_address)
        return get_memory_info_reply(state).store_stats.object_store_bytes_used

    ranks, count, batch = 2, 8, 24  # a batch whose targets are too large for Ray to keep out of the store (100 KB)
    config = replace(run, teacher=replace(run.teacher, prefetch=3, **options))
    most = size = 0
    before = held()  # by what other tests of this cluster left
    pool = start_pool(config)
    await_pool(pool, config.teacher)
    streams = [TargetStream(pool, requests_of(rank, count, batch), config.teacher) for rank in range(ranks)]
    iterators = [iter(stream) for stream in streams]
    for _ in range(count):  # not by zip, which holds on to targets of the step before
        pairs = [next(iterator) for iterator in iterators]
        [size] = {packed_bytes(target.taps_KBND.shape, config.teacher.payload) for _, target in pairs}
        bound = ranks * config.teacher.prefetch * (size + 1024)  # and Ray's own header
        deadline = time.monotonic() + 60
        while (now := held()) > before + bound:  # Ray frees what was trained a moment later; a leak stays
            assert time.monotonic() < deadline, f"{now} bytes are held, more than {bound}"
        most = max(most, now)
    assert all(next(iterator, None) is None for iterator in iterators)
    assert most >= size, "the targets were in the store"
    assert [stream.bytes for stream in streams] == [count * size] * ranks
    stop_pool(pool)
