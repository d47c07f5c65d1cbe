"""The teacher against diffusers' own forward and sampler; the pool and the stream under faults."""

import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
    WanImageToVideoPipeline,
    WanTransformer3DModel,
)
from safetensors.torch import load_file

from actors.stream.packing import pack, unpack
from actors.teacher.actor import ROLLOUT_DRAW, Teacher
from actors.teacher.replica import load_sampler, load_teacher
from tests.support.loras import write_lora
from tests.support.synthetic import LATENT, requests_of, rolled_out, rollout, sample, stored
from v4e.config import Config
from v4e.data.store.fingerprint import rollout_fingerprint
from v4e.data.store.paths import store_uri
from v4e.data.store.store import RolloutStore
from v4e.method.flow import draw, sample_seed
from v4e.models import tiny
from v4e.types import TargetRequest

REQUEST = TargetRequest(sample_ids=("s000", "s001"), seeds=(11, 12))


@pytest.fixture(scope="module")
def settings(tmp_path_factory, random_family):
    config = stored(tmp_path_factory.mktemp("run"), random_family, 6)
    rolled_out(config)
    return config


@pytest.fixture(scope="module")
def teacher(settings) -> Teacher:
    return Teacher(settings)


@pytest.fixture(scope="module")
def stock(settings) -> WanTransformer3DModel:
    return WanTransformer3DModel.from_pretrained(settings.models.teacher, subfolder="transformer").eval()


def stock_velocity(dit, numbers, x_BCFHW, timestep, text=None) -> torch.Tensor:
    """diffusers' forward with FLF2V's condition written out: masks of both ends, both images, text padded to 512."""
    samples = [sample(n) for n in numbers]
    mask = torch.zeros(len(samples), 4, *LATENT[1:])
    mask[:, :, 0] = 1  # the first pixel frame, alone in its latent frame
    mask[:, 3, -1] = 1  # the last of the last four
    y = torch.cat([mask, torch.stack([s.z_flf_CFHW for s in samples])], 1)
    if text is None:
        text = torch.zeros(len(samples), 512, tiny.TEXT_WIDTH)
        for row, s in zip(text, samples, strict=True):
            row[: len(s.evolution_TD)] = s.evolution_TD
    images = torch.stack([tokens for s in samples for tokens in (s.source_ID, s.edit_ID)])
    times = torch.full((len(samples),), timestep) if isinstance(timestep, float) else timestep
    return dit(torch.cat([x_BCFHW, y], 1), times, text, images, return_dict=False)[0]


@torch.no_grad()
def test_targets_are_diffusers_block_outputs(teacher, settings, stock):
    drawn = [draw(seed, LATENT, settings.flow.shift) for seed in REQUEST.seeds]
    x_t = torch.stack([(1 - t) * rollout(n) + t * eps for n, (t, eps) in enumerate(drawn)])
    seen = {}
    hooks = [
        stock.blocks[b].register_forward_hook(lambda _m, _i, out, b=b: seen.__setitem__(b, out))
        for b in settings.kd.taps
    ]
    stock_velocity(stock, (0, 1), x_t, 1000 * torch.tensor([t for t, _ in drawn]))
    for hook in hooks:
        hook.remove()
    expected = torch.stack([seen[b] for b in settings.kd.taps])
    found = unpack(teacher.targets(REQUEST))
    assert found.dtype == torch.bfloat16
    assert torch.allclose(found.float(), expected, rtol=1e-2, atol=1e-2)


def test_targets_depend_on_the_request_alone(teacher, settings):
    again = Teacher(settings)
    assert torch.equal(teacher.targets(REQUEST), again.targets(REQUEST))
    other = TargetRequest(sample_ids=REQUEST.sample_ids, seeds=(11, 13))
    assert not torch.equal(teacher.targets(REQUEST), teacher.targets(other))


@torch.no_grad()
def test_rollouts_are_diffusers_euler_sampling(teacher, settings, stock):
    scheduler = FlowMatchEulerDiscreteScheduler(shift=settings.flow.shift)
    scheduler.set_timesteps(sigmas=np.linspace(1, 0, settings.teacher.steps + 1)[:-1].tolist())
    seeds = [sample_seed(0, f"s{n:03d}", 0, ROLLOUT_DRAW) for n in (0, 1)]
    x = torch.stack([draw(seed, LATENT, 1.0)[1] for seed in seeds])
    for timestep in scheduler.timesteps:
        u = stock_velocity(stock, (0, 1), x, timestep.item())
        x = scheduler.step(u, timestep, x).prev_sample
    found = teacher.rollouts(("s000", "s001"))
    assert torch.allclose(found[:, :, 1:], x[:, :, 1:], atol=1e-3)
    assert torch.equal(found[:, :, 0], torch.stack([sample(n).z_i2v_CFHW[:, 0] for n in (0, 1)]))


@torch.no_grad()
def test_rollouts_are_diffusers_unipc_sampling_at_a_shift_of_their_own(settings, stock):
    config = replace(settings, teacher=replace(settings.teacher, steps=5, solver="unipc", shift=16.0))
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=16.0)
    scheduler.set_timesteps(5)
    x = draw(sample_seed(0, "s000", 0, ROLLOUT_DRAW), LATENT, 1.0)[1][None]
    for timestep in scheduler.timesteps:
        x = scheduler.step(stock_velocity(stock, (0,), x, float(timestep)), timestep, x).prev_sample
    found = Teacher(config).rollouts(("s000",))
    assert torch.allclose(found[:, :, 1:], x[:, :, 1:], atol=1e-4)
    rolled_out(config)
    assert torch.equal(Teacher(config).taps(REQUEST), Teacher(settings).taps(REQUEST))  # targets keep flow.shift


@torch.no_grad()
def test_a_lora_samples_rollouts_and_no_targets(settings, stock, tmp_path):
    lora = write_lora(stock, tmp_path / "few-steps.safetensors", seed=3)
    config = replace(settings, teacher=replace(settings.teacher, steps=1, lora=lora))
    merged = Teacher(settings)
    for key, a in (weights := load_file(lora)).items():
        if key.endswith("lora_A.weight"):
            layer = merged.dit.get_submodule(key.removeprefix("transformer.").removesuffix(".lora_A.weight"))
            layer.weight += weights[key.replace("lora_A", "lora_B")] @ a
    merged.config = config
    sampler = load_sampler(config, None)
    assert torch.allclose(sampler.rollouts(("s000",)), merged.rollouts(("s000",)), atol=1e-5)
    assert {name for name, _ in sampler.dit.named_parameters()} == {name for name, _ in stock.named_parameters()}
    plain = Teacher(settings)
    assert not torch.allclose(plain.rollouts(("s000",)), merged.rollouts(("s000",)), atol=1e-2)
    assert torch.equal(load_teacher(config, None).dit.proj_out.weight, plain.dit.proj_out.weight)
    before = rollout_fingerprint(config)
    (tmp_path / "few-steps.safetensors").rename(tmp_path / "moved.safetensors")
    moved = replace(config, teacher=replace(config.teacher, lora=str(tmp_path / "moved.safetensors")))
    assert rollout_fingerprint(moved) == before != rollout_fingerprint(settings)
    write_lora(stock, tmp_path / "moved.safetensors", seed=4)
    assert rollout_fingerprint(moved) != before


def test_lines_are_rollouts_that_need_neither_teacher_nor_ray(tmp_path, random_family):
    from pipelines.stages.rollout import run

    teacher = {"clip": "line"}
    config = stored(tmp_path, random_family, 3, teacher=teacher)
    run(config)
    rollouts = RolloutStore.open(config)
    assert rollouts.ids() == ["s000", "s001", "s002"]
    for n, key in enumerate(rollouts.ids()):
        z_clip_CFHW = rollouts.read(key)
        assert torch.equal(z_clip_CFHW[:, 0], sample(n).z_i2v_CFHW[:, 0])
        assert torch.equal(z_clip_CFHW[:, 1], sample(n).z_tail_CHW)


@torch.no_grad()
@pytest.mark.parametrize("negative", ["", "a red circle"])
def test_guidance_leads_away_from_the_negative_prompt(settings, stock, negative):
    config = replace(settings, teacher=replace(settings.teacher, steps=1, guidance=3.0, negative=negative))
    pipe = WanImageToVideoPipeline.from_pretrained(settings.models.teacher)
    empty = pipe.encode_prompt(negative, do_classifier_free_guidance=False, max_sequence_length=512)[0][0]
    eps = draw(sample_seed(0, "s000", 0, ROLLOUT_DRAW), LATENT, 1.0)[1][None]
    with_text = stock_velocity(stock, (0,), eps, 1000.0)
    without = stock_velocity(stock, (0,), eps, 1000.0, text=empty[None])
    expected = eps - (without + 3.0 * (with_text - without))
    found = Teacher(config).rollouts(("s000",))
    assert torch.allclose(found[:, :, 1:], expected[:, :, 1:], atol=1e-4)


def with_parts(settings, folder, *parts: str, **teacher) -> Config:
    """`settings` with a teacher whose folder has the DiT and `parts` alone, and with `teacher`'s settings changed."""
    for part in ("transformer", "scheduler", *parts):
        shutil.copytree(Path(settings.models.teacher, part), folder / part)
    shutil.copy(Path(settings.models.teacher, "model_index.json"), folder)
    return replace(
        settings,
        models=replace(settings.models, teacher=str(folder)),
        teacher=replace(settings.teacher, **teacher),
        data=replace(settings.data, store=store_uri(settings)),
    )


@pytest.mark.parametrize(("guidance", "parts"), [(3.0, ("text_encoder", "tokenizer")), (1.0, ())])
def test_what_a_teacher_needs_is_loaded_before_its_first_request(guidance, parts, settings, tmp_path):
    loaded = Teacher(with_parts(settings, tmp_path / "teacher", *parts, steps=1, guidance=guidance))
    shutil.rmtree(tmp_path / "teacher")
    assert loaded.rollouts(("s000",)).isfinite().all()


def test_a_teacher_for_targets_loads_no_text_encoder_and_samples_nothing(settings, tmp_path):
    loaded = Teacher(with_parts(settings, tmp_path / "teacher", guidance=3.0), samples=False)
    with pytest.raises(ValueError, match="targets alone"):
        loaded.rollouts(("s000",))


def test_packing_keeps_bfloat16_to_the_bit():
    tensor = torch.randn(3, 2, 5, 7).to(torch.bfloat16)
    assert torch.equal(unpack(pack(tensor)), tensor)
    assert pack(tensor.float()).dtype == torch.uint16


# With Ray


@pytest.fixture
def pool(settings, cluster):
    import ray

    from actors.teacher.pool import start_pool

    pool = start_pool(settings)
    yield pool
    ray.kill(pool)


@pytest.mark.ray
def test_the_stream_is_ordered_exact_and_bounded(pool, settings, teacher):
    import ray

    from actors.stream.stream import TargetStream

    stream = TargetStream(pool, requests_of(12), settings.teacher)
    for position, (request, target) in enumerate(stream):
        assert request == requests_of(12)[position]
        assert torch.equal(target.taps_KBND, unpack(teacher.targets(request)))
        time.sleep(0.05)  # let the pool run ahead as far as it may
        asked = min(12, position + settings.teacher.prefetch)
        assert ray.get(pool.status.remote()).answered <= asked
    assert stream.status is not None
    assert stream.bytes == 12 * teacher.targets(REQUEST).nbytes


@pytest.mark.ray
def test_a_killed_replica_is_replaced_and_no_target_changes(pool, settings, teacher):
    import ray

    from actors.stream.stream import TargetStream

    [before] = ray.get(pool.ready.remote())
    stream = TargetStream(pool, requests_of(8), settings.teacher)
    found = []
    for position, (_, target) in enumerate(stream):
        found.append(target.taps_KBND.clone())
        if position == 2:
            os.kill(before["pid"], signal.SIGKILL)
    expected = [unpack(teacher.targets(request)) for request in requests_of(8)]
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, expected, strict=True))
    status = ray.get(pool.status.remote())
    assert status.restarts == 1
    assert status.retries >= 1
    assert status.queue == 0


@pytest.mark.ray
def test_a_killed_pool_comes_back(pool, settings, teacher):
    import ray

    from actors.stream.stream import TargetStream

    stream = iter(TargetStream(pool, requests_of(6), settings.teacher))
    found = [next(stream)[1].taps_KBND.clone()]
    ray.kill(pool, no_restart=False)
    found += [target.taps_KBND.clone() for _, target in stream]
    expected = [unpack(teacher.targets(request)) for request in requests_of(6)]
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, expected, strict=True))


@pytest.mark.ray
def test_a_request_for_a_sample_that_is_not_there_fails_at_once(pool):
    import ray

    bad = TargetRequest(sample_ids=("nobody",), seeds=(1,))
    with pytest.raises(FileNotFoundError, match="nobody"):
        ray.get(pool.target.remote(bad))
    assert ray.get(pool.status.remote()).restarts == 0


@pytest.mark.ray
def test_a_pool_that_cannot_start_says_why(cluster, tmp_path, random_family):
    import ray

    from actors.teacher.pool import await_pool, start_pool

    config = stored(tmp_path, random_family, 1, models={"teacher": str(tmp_path / "nowhere")})
    pool = start_pool(config)
    with pytest.raises(RuntimeError, match=r"(?s)nowhere is no diffusers pipeline folder.*rank 0 \(actor .*log /"):
        await_pool(pool, config.teacher)
    ray.kill(pool)


@pytest.mark.long
@pytest.mark.ray
def test_rollouts_are_restartable_to_the_bit(cluster, tmp_path, random_family, teacher):
    from pipelines.stages.rollout import run

    config = stored(tmp_path, random_family, 5, teacher={"batch": 2})
    run(config)
    rollouts = RolloutStore.open(config)
    first = {key: rollouts.read(key) for key in rollouts.ids()}
    assert sorted(first) == [f"s{n:03d}" for n in range(5)]
    assert torch.equal(first["s000"], teacher.rollouts(("s000", "s001"))[0])
    for lost in ("s001", "s004"):
        (tmp_path / "store" / "rollouts" / rollouts.uri.rsplit("/", 1)[-1] / f"{lost}.safetensors").unlink()
    run(config)
    assert all(torch.equal(first[key], rollouts.read(key)) for key in first)
