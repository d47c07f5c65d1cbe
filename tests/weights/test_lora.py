"""Adapters in the same trainer: what trains, what is saved, and that sharded or resumed they do the same."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

from tests.support import ranks
from tests.support.student import CPU, make_batch, make_dit
from tests.support.synthetic import config
from v4e.config import Config, Lora, parse
from v4e.models.dit import DitInputs, predict
from v4e.training.checks import check_run
from v4e.training.student import StudentTrainer
from v4e.weights.lora import adapter_names, is_adapter, merged, start_value, trainable

RANK = 4


def lora_config(**sections: dict[str, object]) -> Config:
    optim = {"steps": 6, "batch": 2, "accumulate": 4, "lr": 1e-3}
    return config(**{"lora": {"rank": RANK, "alpha": 8}, "optim": optim} | sections)


def make_trainer(settings: Config | None = None, seed: int = 0, mesh=None) -> StudentTrainer:
    return StudentTrainer(settings or lora_config(), make_dit(seed), device=CPU, mesh=mesh)


def run(trainer: StudentTrainer, steps: range) -> list[dict[str, float]]:
    rank = dist.get_rank() if dist.is_initialized() else 0
    forwards = range(rank, trainer.config.optim.accumulate, trainer.world)
    return [trainer.step(make_batch(step, forward) for forward in forwards) for step in steps]


def test_a_run_of_adapters_starts_where_the_whole_student_does():
    full = StudentTrainer(lora_config(lora={"rank": 0}), make_dit(), device=CPU)
    ours, theirs = make_trainer().losses(make_batch(0, 0)), full.losses(make_batch(0, 0))
    assert {name: value.item() for name, value in ours.items()} == {name: v.item() for name, v in theirs.items()}


@pytest.mark.slow
def test_only_adapters_train_are_averaged_and_are_saved():
    trainer, base = make_trainer(), dict(make_dit().named_parameters())
    start = {name: p.detach().clone() for name, p in trainer.dit.named_parameters() if is_adapter(name)}
    run(trainer, range(2))
    state = trainer.state_dict()
    both = [f"attn{a}.{layer}" for a in (1, 2) for layer in ("to_q", "to_k", "to_v", "to_out.0")]
    layers = [*both, "attn2.add_k_proj", "attn2.add_v_proj"]
    expected = {name for b in range(6) for layer in layers for name in adapter_names(f"blocks.{b}.{layer}.weight")}
    saved = state["optimizer"]["state"].keys()
    assert start.keys() == state["model"].keys() == state["ema"].keys() == saved == expected
    for name, parameter in trainer.dit.named_parameters():
        if is_adapter(name):
            assert not torch.equal(parameter, start[name]), name
        else:
            assert torch.equal(parameter, base[name.replace(".base_layer", "")]), name


@pytest.mark.slow
def test_an_adapter_is_a_low_rank_change_of_its_layers_weight():
    trainer = make_trainer()
    run(trainer, range(2))
    dit, weights = make_dit(), {name: p.detach() for name, p in trainer.dit.named_parameters()}
    with torch.no_grad():
        for name, parameter in dit.named_parameters():
            a, b = adapter_names(name)
            if a in weights:
                parameter.copy_(merged(parameter, weights[a], weights[b], trainer.config.lora.scale))
    batch = make_batch(9, 0)
    x, y = batch.z_clip_BCFHW, torch.cat([torch.ones(2, 4, 2, 8, 8), batch.z_clip_BCFHW], 1)
    text, image = [s.instruction_TD for s in batch.samples], torch.stack([s.source_ID for s in batch.samples])
    inputs, t = DitInputs(y_BCFHW=y, text=text, image_BID=image), torch.full((2,), 0.5)
    one, other, start = (predict(model, x, t, inputs)[0] for model in (trainer.dit, dit, make_dit()))
    assert (one - other).norm() < 1e-4 * (one - start).norm()


@pytest.mark.slow
def test_resume_from_a_state_equals_going_on():
    whole = make_trainer()
    run(whole, range(2))
    state = copy.deepcopy(whole.state_dict())
    expected = run(whole, range(2, 4))
    resumed = make_trainer(lora_config(run={"seed": 5}))  # other adapters on the same base
    resumed.load_state_dict(state)
    assert run(resumed, range(2, 4)) == expected
    assert all(torch.equal(whole.ema.shadow[name], resumed.ema.shadow[name]) for name in whole.ema.shadow)


@pytest.mark.slow
def test_recompute_changes_no_number():
    assert run(make_trainer(lora_config(train={"recompute": "full"})), range(2)) == run(make_trainer(), range(2))


def test_a_frozen_base_is_kept_in_the_dtype_it_computes_in():
    dit = trainable(make_dit(), Lora(rank=RANK, targets=("ffn.net.2",)), torch.bfloat16, 0)
    dtypes = {name: (p.dtype, p.requires_grad) for name, p in dit.named_parameters()}
    assert dtypes["blocks.0.ffn.net.2.base_layer.weight"] == (torch.bfloat16, False)
    assert dtypes["blocks.0.ffn.net.2.lora_A.default.weight"] == (torch.float32, True)
    assert dtypes["blocks.0.scale_shift_table"] == (torch.float32, False)  # as diffusers keeps it
    assert sum(requires for _, requires in dtypes.values()) == 6 * 2


def test_a_start_depends_on_the_seed_and_the_name_alone():
    a, b = adapter_names("blocks.0.attn1.to_q.weight")
    assert torch.equal(start_value(a, (4, 16), 1), start_value(a, (4, 16), 1))
    assert not torch.equal(start_value(a, (4, 16), 1), start_value(a, (4, 16), 2))
    assert not torch.equal(start_value(a, (4, 16), 1), start_value(a.replace("to_q", "to_k"), (4, 16), 1))
    assert 0 < start_value(a, (4, 16), 1).abs().max() <= 0.25
    assert not start_value(b, (16, 4), 1).any()


def test_a_target_that_is_not_there_is_refused_before_anything_starts(random_family):
    settings = parse([f"models.student={random_family}/tiny-wan-i2v", f"models.teacher={random_family}/tiny-wan-flf2v"])
    check_run(replace(settings, lora=Lora(rank=2)))
    for target in ("to_qq", "o_q", "proj_out"):  # no layer, the end of a word, a layer in no block
        with pytest.raises(ValueError, match=rf"{target} names no linear layer .* attn1\.to_q, .* ffn\.net\.2"):
            check_run(replace(settings, lora=Lora(rank=2, targets=("to_q", target))))


def test_settings_from_the_command_line():
    lora = parse(["lora.rank=8", "lora.alpha=4", "lora.targets=to_q,ffn.net.2"]).lora
    assert (lora.rank, lora.scale, lora.targets) == (8, 0.5, ("to_q", "ffn.net.2"))
    assert Lora(rank=8).scale == 1
    with pytest.raises(ValueError, match=r"lora\.targets"):
        Lora(rank=8, targets=())


def sharded_run(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    for dtype in ("float32", "bfloat16"):
        trainer = make_trainer(lora_config(train={"dtype": dtype, "recompute": "full"}), mesh=mesh)
        metrics = run(trainer, range(3))
        state = trainer.state_dict()
        trainer.load_state_dict(state)
        state = {part: {name: w.full_tensor() for name, w in state[part].items()} for part in ("model", "ema")}
        frozen = {p.dtype for name, p in trainer.dit.named_parameters() if name.endswith("base_layer.weight")}
        if rank == 0:
            torch.save({"metrics": metrics, "frozen": str(frozen), **state}, f"{folder}/{dtype}.pt")
    dist.destroy_process_group()


@pytest.mark.long
@pytest.mark.slow
def test_two_sharded_workers_do_the_single_workers_steps(tmp_path):
    ranks.run(sharded_run, 2, str(tmp_path))
    single = make_trainer()
    expected = run(single, range(3))
    for dtype, tolerance in (("float32", 1e-4), ("bfloat16", 5e-2)):
        sharded = torch.load(tmp_path / f"{dtype}.pt", weights_only=True)
        assert sharded["frozen"] == f"{{torch.{dtype}}}"
        for ours, theirs in zip(sharded["metrics"], expected, strict=True):
            for name in theirs:
                assert ours[name] == pytest.approx(theirs[name], rel=tolerance), (dtype, name)
    exact = torch.load(tmp_path / "float32.pt", weights_only=True)
    start = make_trainer().ema.shadow
    for part, weights in (("model", single.state_dict()["model"]), ("ema", single.ema.shadow)):
        moved = torch.cat([(weights[name] - start[name]).flatten() for name in start]).norm()
        apart = torch.cat([(weights[name] - exact[part][name]).flatten() for name in start]).norm()
        assert apart < 0.05 * moved
