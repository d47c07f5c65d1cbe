"""A training step against the paper's formulas written out by hand, and against itself: resumed and recomputed."""

import copy
import math
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from tests.support import ranks
from tests.support.student import CPU, make_batch, make_dit, make_trainer, run
from tests.support.synthetic import LATENT, config, rollout, sample
from v4e.config import Config, Optim, Watch
from v4e.method.conditioning import condition
from v4e.method.flow import draw
from v4e.method.inputs import noised
from v4e.method.losses import TERMS, kd_tokens
from v4e.models import tiny
from v4e.models.dit import DitInputs, predict
from v4e.models.encoders import decode_clip
from v4e.parallel.fsdp import shard_student
from v4e.training.ema import EMA
from v4e.training.student import Batch, StudentTrainer, learning_rate
from v4e.types import TeacherTarget

TAPS = (1, 3, 5)


def stock_forward(dit, batch: Batch, t_B: torch.Tensor, x_t_BCFHW: torch.Tensor):
    """Velocity and block outputs by diffusers' own forward: text padded to 512, masks built here."""
    count = len(batch.samples)
    mask = torch.zeros(count, 4, *LATENT[1:])
    mask[:, :, 0] = 1
    y = torch.cat([mask, torch.stack([s.z_i2v_CFHW for s in batch.samples])], 1)
    text = torch.zeros(count, 512, tiny.TEXT_WIDTH)
    for row, s in zip(text, batch.samples, strict=True):
        row[: len(s.instruction_TD)] = s.instruction_TD
    seen: dict[int, torch.Tensor] = {}
    hooks = [
        dit.blocks[tap].register_forward_hook(lambda _m, _i, out, tap=tap: seen.__setitem__(tap, out)) for tap in TAPS
    ]
    image = torch.stack([s.source_ID for s in batch.samples])
    u = dit(torch.cat([x_t_BCFHW, y], 1), t_B * 1000, text, image, return_dict=False)[0]
    for hook in hooks:
        hook.remove()
    return u, [seen[tap] for tap in TAPS]


def by_hand(dit, batch: Batch, settings: Config, bound: float = 1.0) -> dict[str, torch.Tensor]:
    """Eq. 1 to 6, one sample after the other, means over the batch at the end; T_tail is all t up to `bound`."""
    noises = [draw(seed, LATENT, settings.flow.shift) for seed in batch.seeds]
    t_B = torch.tensor([t for t, _ in noises])
    x_t = torch.stack([(1 - t) * z + t * eps for (t, eps), z in zip(noises, batch.z_clip_BCFHW, strict=True)])
    u, taps = stock_forward(dit, batch, t_B, x_t)
    assert batch.target is not None
    teacher = batch.target.taps_KBND.float()
    if settings.teacher.tokens == "tail":
        taps = [h.unflatten(1, (2, 4, 4))[:, 1].flatten(1, 2) for h in taps]  # F, H / 2, W / 2
    kd = sum(((s - t) ** 2).mean() / (t**2).mean() for s, t in zip(taps, teacher, strict=True))
    tail = torch.zeros(())
    flow = torch.zeros(())
    for i, (t, eps) in enumerate(noises):
        x0 = x_t[i] - t * u[i]
        ours, truth = x0[:, -1], batch.samples[i].z_tail_CHW
        rows = (ours[:, 1:] - ours[:, :-1]) - (truth[:, 1:] - truth[:, :-1])
        columns = (ours[..., 1:] - ours[..., :-1]) - (truth[..., 1:] - truth[..., :-1])
        gradient = rows.abs().mean() + columns.abs().mean()
        weight = (1 - t) ** settings.tail.power if t <= bound else 0.0
        tail = tail + weight * ((ours - truth).abs().mean() + settings.tail.beta * gradient) / len(noises)
        flow = flow + ((u[i] - (eps - batch.z_clip_BCFHW[i])) ** 2).mean() / len(noises)
    loss = settings.kd.weight * kd + settings.tail.weight * tail + settings.flow.weight * flow
    return {"loss": loss, "kd": kd, "tail": tail, "flow": flow}


def test_losses_are_the_papers():
    settings = config(flow={"weight": 0.5})
    trainer = make_trainer(settings)
    batch = make_batch(0, 0)
    expected = by_hand(make_dit(), batch, settings)
    losses = trainer.losses(batch)
    assert set(losses) == {"loss", *TERMS}
    for name, value in losses.items():
        assert value.item() == pytest.approx(expected[name].item(), rel=1e-4), name


def test_with_a_late_tail_the_losses_are_the_papers():
    batch = make_batch(0, 0)
    t = sorted(draw(seed, LATENT, 3.0)[0] for seed in batch.seeds)
    bound = sum(t[:2]) / 2  # the first sample is inside, the others are not
    settings = config(tail={"times": f"{bound}"})
    expected, losses = by_hand(make_dit(), batch, settings, bound), make_trainer(settings).losses(batch)
    assert expected["tail"].item() > 0
    for name in ("loss", "tail"):
        assert losses[name].item() == pytest.approx(expected[name].item(), rel=1e-4), name


def test_with_tail_tokens_kd_is_the_same_formula_over_the_last_latent_frame():
    settings = config(teacher={"tokens": "tail"}, tail={"weight": 0.0})
    batch = make_batch(0, 0)
    assert batch.target is not None
    batch = replace(batch, target=TeacherTarget(taps_KBND=batch.target.taps_KBND[:, :, :16]))
    trainer, dit = make_trainer(settings), make_dit()
    loss, expected = trainer.losses(batch)["kd"], by_hand(dit, batch, settings)["kd"]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    loss.backward()
    expected.backward()
    for ours, theirs in zip(trainer.parameters, dit.parameters(), strict=True):
        if theirs.grad is not None and theirs.grad.norm() > 1e-4:
            assert torch.allclose(ours.grad, theirs.grad, rtol=1e-3, atol=1e-3 * theirs.grad.abs().max().item())


def test_tokens_are_ordered_by_frame():
    dit, z = make_dit(), rollout(0)[None]
    other = z.clone()
    other[:, :, -1] += 1  # the last latent frame alone
    inputs = DitInputs(
        y_BCFHW=condition(z, last=False), text=[sample(0).instruction_TD], image_BID=sample(0).source_ID[None]
    )
    seen = []
    hook = dit.blocks[0].register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
    for x in (z, other):
        predict(dit, x, torch.zeros(1), inputs)
    hook.remove()
    moved = (seen[0] - seen[1]).abs().amax(-1)[0] > 0
    assert moved.nonzero().flatten().tolist() == list(range(16, 32))
    assert torch.equal(kd_tokens(seen[0], "tail", 2), seen[0][:, 16:])


@pytest.mark.slow
def test_step_is_adamw_on_the_mean_of_all_forwards():
    settings = config(flow={"weight": 0.5})
    trainer, dit = make_trainer(settings), make_dit()
    optim = settings.optim
    optimizer = torch.optim.AdamW(
        dit.parameters(), lr=learning_rate(0, optim), weight_decay=optim.weight_decay, foreach=False
    )
    sum(by_hand(dit, make_batch(0, forward), settings)["loss"] / 2 for forward in range(2)).backward()
    norm = torch.nn.utils.clip_grad_norm_(dit.parameters(), optim.clip)
    optimizer.step()
    [metrics] = run(trainer, range(1))
    assert metrics["grad_norm"] == pytest.approx(norm.item(), rel=1e-3)
    ours = torch.cat([p.flatten() for p in trainer.dit.parameters()])
    theirs = torch.cat([p.flatten() for p in dit.parameters()])
    start = torch.cat([p.flatten() for p in make_dit().parameters()])
    # A first Adam step is the sign of a gradient: where that is rounding noise the two may part.
    assert torch.nn.functional.cosine_similarity(ours - start, theirs - start, dim=0) > 0.995


def test_terms_without_weight_are_neither_computed_nor_asked_for():
    settings = config(kd={"weight": 0.0}, tail={"weight": 0.0}, flow={"weight": 1.0})
    trainer = make_trainer(settings)
    batch = replace(make_batch(0, 0), target=None)
    assert set(trainer.losses(batch)) == {"loss", "flow"}


def test_missing_target_and_wrong_number_of_forwards_are_refused():
    trainer = make_trainer()
    with pytest.raises(ValueError, match="teacher target"):
        trainer.losses(replace(make_batch(0, 0), target=None))
    with pytest.raises(ValueError, match="2 batches on this worker, got 1"):
        trainer.step([make_batch(0, 0)])


def test_teacher_and_student_see_the_same_noise_whatever_the_batch():
    z_BCFHW = torch.stack([rollout(n) for n in range(3)])
    together = noised((5, 6, 7), z_BCFHW, 3.0)
    alone = noised((6,), z_BCFHW[1:2], 3.0)
    assert torch.equal(together.x_t_BCFHW[1:2], alone.x_t_BCFHW)
    assert torch.equal(together.t_B[1:2], alone.t_B)


@pytest.mark.slow
def test_resume_from_a_state_equals_going_on():
    whole = make_trainer()
    first = run(whole, range(3))
    state = copy.deepcopy(whole.state_dict())
    expected = run(whole, range(3, 6))
    resumed = StudentTrainer(config(), make_dit(seed=9), device=CPU)
    resumed.load_state_dict(state)
    assert run(resumed, range(3, 6)) == expected
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters, resumed.parameters, strict=True))
    assert all(torch.equal(whole.ema.shadow[name], resumed.ema.shadow[name]) for name in whole.ema.shadow)
    assert first[0]["loss"] != expected[0]["loss"]


@pytest.mark.slow
def test_recompute_changes_no_gradient_and_selective_computes_no_product_twice():
    gradients, flops, operators = {}, {}, {}
    for mode in ("none", "selective", "full"):
        trainer = make_trainer(config(train={"recompute": mode}))
        with FlopCounterMode(display=False) as products, Operators() as all_of_them:
            loss = trainer.losses(make_batch(0, 0))["loss"]
            forward = products.get_total_flops()
            loss.backward()
        gradients[mode] = [p.grad for p in trainer.parameters]
        flops[mode], operators[mode] = products.get_total_flops() / forward, all_of_them.count
    for mode in ("selective", "full"):
        for ours, theirs in zip(gradients[mode], gradients["none"], strict=True):
            assert ours is theirs is None or torch.equal(ours, theirs)
    assert flops["selective"] == flops["none"] < flops["full"] - 0.9  # a forward more, but for what is outside blocks
    assert operators["none"] < operators["selective"]  # the cheap ones run again


class Operators(TorchDispatchMode):
    """Counts the operators that really run, those of the backward included."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        return func(*args, **(kwargs or {}))


def test_learning_rate_warms_up_and_ends_at_zero():
    optim = Optim(lr=2.0, warmup=0.1, steps=100)
    rates = [learning_rate(step, optim) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[9] == rates[10] == pytest.approx(2.0)
    assert rates[55] == pytest.approx(2.0 * 0.5 * (1 + math.cos(math.pi / 2)))
    assert rates[99] < 1e-3
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_ema_is_the_formula():
    model = torch.nn.Linear(1, 1, bias=False)
    ema = EMA(model, decay=0.3)
    expected = model.weight.item()
    for n in range(5):
        with torch.no_grad():
            model.weight += 1
        ema.update(model.parameters(), n)
        decay = min(0.3, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * model.weight.item()
    assert ema.shadow["weight"].item() == pytest.approx(expected)


def test_bfloat16_without_a_mesh_is_refused():
    with pytest.raises(ValueError, match="device mesh"):
        shard_student(make_dit(), None, torch.bfloat16)


def spoiled(batch: Batch) -> Batch:
    return replace(batch, z_clip_BCFHW=batch.z_clip_BCFHW * math.nan)


@pytest.mark.slow
def test_a_step_that_is_not_finite_changes_nothing_and_the_next_one_does():
    trainer = make_trainer()
    run(trainer, range(1))
    before = copy.deepcopy(trainer.state_dict())
    metrics = trainer.step([make_batch(1, 0), spoiled(make_batch(1, 1))])
    after = trainer.state_dict()
    assert metrics["skipped"] == 1 and math.isnan(metrics["loss"])
    assert after["step"] == before["step"] + 1
    for name, tensor in before["model"].items():
        assert torch.equal(after["model"][name], tensor)
        assert torch.equal(after["ema"][name], before["ema"][name])
    [metrics] = run(trainer, range(2, 3))
    assert "skipped" not in metrics and math.isfinite(metrics["grad_norm"])
    assert not torch.equal(trainer.state_dict()["model"]["proj_out.weight"], before["model"]["proj_out.weight"])


def test_a_tail_in_pixels_keeps_a_fraction_of_what_the_vae_computes():
    vae = tiny.build_vae().requires_grad_(False)
    z_BCFHW = torch.randn(1, *LATENT, requires_grad=True)

    def kept() -> int:
        numbers: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: numbers.append(t.numel()) or t, lambda t: t):
            decode_clip(vae, z_BCFHW)
        return sum(numbers)

    whole = kept()
    StudentTrainer(config(tail={"space": "pixel"}), make_dit(), device=CPU, vae=vae)
    assert kept() < 0.5 * whole


@pytest.mark.slow
def test_too_many_bad_steps_in_a_row_end_the_run():
    trainer = make_trainer(replace(config(), watch=Watch(max_bad_steps=2)))
    for step in range(2):
        trainer.step([make_batch(step, 0), spoiled(make_batch(step, 1))])
        run(trainer, range(step, step + 1))  # a good one between
    trainer.step([spoiled(make_batch(4, n)) for n in range(2)])
    with pytest.raises(FloatingPointError, match=r"2 steps in a row.*loss nan.*optim\.lr lower"):
        trainer.step([spoiled(make_batch(5, n)) for n in range(2)])


def half_spoiled_run(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    trainer = StudentTrainer(config(), make_dit(), device=CPU, mesh=init_device_mesh("cpu", (2,)))
    metrics = [
        trainer.step([spoiled(make_batch(step, rank)) if (rank, step) == (1, 1) else make_batch(step, rank)])
        for step in range(3)
    ]
    torch.save(metrics, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.long
@pytest.mark.slow
def test_all_workers_skip_a_step_that_is_bad_on_one(tmp_path):
    ranks.run(half_spoiled_run, 2, str(tmp_path))
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    for ours, theirs in zip(first, second, strict=True):
        assert ours.get("skipped") == theirs.get("skipped")
    assert [metrics.get("skipped") for metrics in first] == [None, 1, None]
    assert math.isfinite(first[2]["loss"]) and first[2] == second[2]
