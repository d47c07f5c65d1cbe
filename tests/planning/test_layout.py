"""Plans for clusters of GPUs: bytes and seconds against other ways to count them, limits, and the nearest that fits."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import WanTransformer3DModel
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.stages.plan import run
from tests.support.live import Live
from tests.support.synthetic import rolled_out, sample, stored
from v4e.config import RECIPES, Config, parse
from v4e.data.store.store import RolloutStore, Store, file_uri
from v4e.models import sizes, tiny
from v4e.models.dit import DitInputs, hidden_states
from v4e.planning.checks import check_cluster, check_host
from v4e.planning.gpus import GPUS, cluster_of
from v4e.planning.layout import GIB, PROCESS_GIB, plan_cluster, triplet_bytes
from v4e.planning.memory import parameter_count, teacher_memory
from v4e.planning.search import nearest, variants
from v4e.planning.seconds import PUT_GB_S, gather_seconds
from v4e.planning.work import Reads, forward_flops

I2V = sizes.pipeline("Wan-AI/Wan2.1-I2V-14B-720P-Diffusers", "models.student")
FLF2V = sizes.pipeline("Wan-AI/Wan2.1-FLF2V-14B-720P-diffusers", "models.teacher")
LARGE = [name for name in RECIPES if name != "tiny"]


def planned(*arguments: str):
    config = parse(list(arguments))
    cluster = cluster_of(config.plan)
    assert cluster is not None
    return config, cluster, plan_cluster(config, I2V, FLF2V, cluster)


# What rollouts cost


def test_rollouts_cost_their_forwards_and_lines_cost_none(capsys):
    """The makers' 50 steps with guidance are 25 times 4 without; the recipe's own cost at most 0.7 GPU hours."""
    recipe = ("recipe=wan14b_480p", "plan.gpu=h100", "plan.gpus=10", "plan.triplets=1000")
    _, _, makers = planned(*recipe, "teacher.steps=50", "teacher.guidance=5.5")
    _, _, own = planned(*recipe)
    config, _, few = planned(*recipe, "teacher.steps=4", "teacher.guidance=1", "teacher.tp=2")
    _, _, lines = planned(*recipe, "teacher.clip=line")
    reads = makers.work.teacher_reads
    flops = forward_flops(FLF2V.dit, reads)
    assert (makers.rollout_flops, few.rollout_flops, lines.rollout_flops) == (100 * flops, 4 * flops, 0)
    assert makers.rollout_gpu_h == pytest.approx(1000 * 100 * flops / 1e12 / makers.speed.infer / 3600)
    assert own.rollout_flops == 8 * flops and own.rollout_gpu_h < 0.7
    assert few.rollout_h * config.teacher.most_replicas * 2 == pytest.approx(few.rollout_gpu_h)  # two GPUs a replica
    assert lines.rollout_gpu_h == lines.rollout_h == 0
    run(parse([*recipe, "teacher.clip=line"]))
    assert "straight lines between stored latents: no GPU hours" in " ".join(capsys.readouterr().out.split())


# What is held


def test_a_triplet_in_the_store_weighs_what_was_planned(tmp_path, random_family):
    run = stored(tmp_path, random_family, 1)
    rolled_out(run)
    store, rollouts, one = Store.open(run), RolloutStore.open(run), sample(0)
    texts = {"instruction_tokens": len(one.instruction_TD), "caption_tokens": len(one.evolution_TD)}
    lengths = replace(run, plan=replace(run.plan, **texts))
    weighs = sum(Path(file_uri(folder, one.id)).stat().st_size for folder in (store.samples, rollouts.uri))
    of = sizes.pipeline(str(random_family / "tiny-wan-i2v"), "models.student")
    assert 0 <= weighs - triplet_bytes(lengths, of) < 2000  # the files' headers


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_teacher_holds_no_more_than_was_planned(dtype):
    transformer = {**tiny.DIT, "num_attention_heads": 4, "attention_head_dim": 64, "ffn_dim": 768}
    transformer |= {"added_kv_proj_dim": 256, "num_layers": 6, "pos_embed_seq_len": 2 * tiny.IMAGE_TOKENS}
    kind = {"float32": torch.float32, "bfloat16": torch.bfloat16}[dtype]
    model, of = WanTransformer3DModel(**transformer).to(kind).eval(), sizes.dit(transformer)
    config = parse([f"models.dtype={dtype}", "optim.batch=2", "teacher.batch=1"])
    reads = Reads(clip=2 * 16 * 16, text=512, image=2 * tiny.IMAGE_TOKENS)
    weights, activations = teacher_memory(config, of, reads, image_tokens=tiny.IMAGE_TOKENS)
    assert weights == sum(p.numel() for p in model.parameters()) * kind.itemsize
    x, t = torch.randn(2, tiny.Z, 2, 32, 32, dtype=kind), torch.rand(2)
    given = DitInputs(
        y_BCFHW=torch.randn(2, tiny.Z + 4, 2, 32, 32, dtype=kind),
        text=[torch.randn(8, tiny.TEXT_WIDTH, dtype=kind)] * 2,
        image_BID=torch.randn(2, 2 * tiny.IMAGE_TOKENS, tiny.IMAGE_WIDTH, dtype=kind),
    )
    held = [*model.parameters(), x, t, given.y_BCFHW, *given.text, given.image_BID]
    with torch.inference_mode(), Live(held) as live:
        hidden_states(model, x, t, given, taps=(1, 3, 5))
    assert 0.75 * activations < live.peak < activations


def test_the_reference_figures_of_14b_come_out():
    """328 GB of states over 8 GPUs are 41 each; a teacher in bfloat16 weighs 32.8 GB."""
    _, _, found = planned("recipe=wan14b_720p", "plan.gpu=h100")
    memory = found.held.student
    states = (memory.weights + memory.gradients + memory.moments + memory.ema) / 1e9
    assert states == pytest.approx(41, abs=0.1)
    assert found.held.teacher_weights / 1e9 == pytest.approx(32.8, abs=0.1)
    assert not found.limits and (found.training_gpus, found.teacher_gpus) == (8, 2)


# How long


def test_communication_is_that_of_every_hop_counted_alone():
    """A ring of n ranks, simulated link by link: each passes on a share n - 1 times."""
    for workers in (2, 4, 8):
        config, cluster, _ = planned("recipe=wan14b_480p", "plan.gpu=h100", f"train.workers={workers}")
        parameters = parameter_count(I2V.dit, I2V.image_tokens)
        received = 0.0
        for bytes_each in (2, 2, 4):  # gathered for the forward, for the backward, gradients reduced in float32
            received += sum(bytes_each * parameters / workers for hop in range(workers - 1))
        assert gather_seconds(config, I2V, cluster) == pytest.approx(received / 450e9)


def test_hsdp_saves_the_network_and_costs_memory():
    wide = ("recipe=wan14b_720p", "plan.gpu=h200", "train.workers=16", "optim.accumulate=16")
    _, _, over_all = planned(*wide)
    _, _, hybrid = planned(*wide, "train.shard=8")
    assert hybrid.seconds.gather < over_all.seconds.gather
    assert hybrid.held.student_gpu > over_all.held.student_gpu


def test_a_slow_network_is_named_as_what_sets_the_pace():
    _, _, found = planned("recipe=wan14b_720p", "plan.gpu=h100", "plan.network_gb_s=0.5")
    assert found.bound == "the network, by the stream of targets"
    assert found.pace.step_s == pytest.approx(8 * found.work.target_bytes / 0.5e9)


# What does not fit, and what would


@pytest.mark.slow
@settings(deadline=None, max_examples=12)
@given(
    recipe=st.sampled_from(LARGE),
    gpu=st.sampled_from(sorted(GPUS)),
    gpus=st.integers(1, 24),
    host=st.sampled_from([0, 200, 2000]),
)
def test_a_suggestion_fits_as_a_user_would_type_it(recipe, gpu, gpus, host):
    arguments = [f"recipe={recipe}", f"plan.gpu={gpu}", f"plan.gpus={gpus}", f"plan.host_gib={host}"]
    config, cluster, found = planned(*arguments)
    suggestion = nearest(config, I2V, FLF2V, cluster)
    if not found.limits:
        assert suggestion is not None and not suggestion.changes
    elif suggestion is None:
        assert all(plan_cluster(other, I2V, FLF2V, cluster).limits for _, _, other in variants(config, cluster))
    else:
        _, _, again = planned(*arguments, *str(suggestion).split())
        assert not again.limits
        assert again == suggestion.plan


@pytest.mark.parametrize(
    ("arguments", "words", "suggested"),
    [
        (["plan.gpu=h100", "plan.gpus=8"], "GPUs of the cluster: needs 10 GPUs, there is 8", "train.workers=4"),
        (["plan.gpu=a100-40"], "memory of a training GPU", "train.offload=optimizer"),
        (["plan.gpu=l4"], "memory of a teacher's GPU", "teacher.tp=2"),
        (["plan.gpu=h100", "plan.host_gib=100"], "memory of a node", "lora.rank=64"),
        (
            ["plan.gpu=h100", "teacher.tp=8", "plan.gpus_per_node=4"],
            "GPUs of one node, for a teacher's ranks",
            "teacher.tp=",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(arguments, words, suggested):
    config = parse(["recipe=wan14b_480p", *arguments])
    cluster = cluster_of(config.plan)
    assert cluster is not None
    with pytest.raises(ValueError) as error:
        check_cluster(config, I2V, FLF2V, cluster, 10_000)
    assert "\n" not in str(error.value)
    first, _, rest = str(error.value).partition("; nearest that fits: ")
    assert words in first and suggested in rest


@pytest.mark.parametrize(
    ("size", "gpu", "fits"), [("480p", "h100", True), ("720p", "h100", False), ("720p", "h200", True)]
)
def test_a_tail_in_pixels_is_planned_with_what_the_vae_holds(size, gpu, fits):
    """At 720p it holds more than the whole step: an H100 has no room, which an earlier plan did not see."""
    here = (f"recipe=wan14b_{size}", f"plan.gpu={gpu}")
    _, _, latent = planned(*here)
    _, cluster, pixel = planned(*here, "tail.space=pixel")
    assert not latent.limits
    assert (not pixel.limits) == fits == (pixel.held.student_gpu <= cluster.usable)
    assert pixel.held.student_gpu > latent.held.student_gpu


def test_what_other_commands_need_is_told_and_does_not_refuse_training(capsys):
    arguments = ["recipe=wan14b_lora", "plan.gpu=l40s", "teacher.tp=2", "train.recompute=full"]
    config, cluster, found = planned(*arguments)
    assert not found.limits
    check_cluster(config, I2V, FLF2V, cluster, 10_000)
    [editor] = found.elsewhere
    assert editor.what == "memory of an editor's GPU" and editor.needs > editor.has
    run(config)
    table = " ".join(capsys.readouterr().out.split())
    assert "verdict training fits" in table and "other commands do NOT fit: memory of an editor's GPU" in table


def test_a_machine_that_is_too_small_is_told_so():
    config = parse(["recipe=wan14b_lora", "train.gpus_per_worker=0", "teacher.gpus=0"])
    with pytest.raises(ValueError, match=r"8 training and 2 teaching processes need \d+ GiB, it has 24"):
        check_host(config, I2V, FLF2V, 24)
    small = sizes.pipeline(
        str(Path(__file__).parent.parent.parent / Config(recipe="x").models.student), "models.student"
    )
    check_host(parse([]), small, small, 4)


def test_an_unknown_gpu_needs_its_figures():
    with pytest.raises(ValueError, match=r"plan\.gpu=mi300x is not known here.*plan\.gpu_gib"):
        cluster_of(parse(["plan.gpu=mi300x"]).plan)
    given_ = ["plan.gpu=mi300x", "plan.gpu_gib=192", "plan.train_tflops=300", "plan.infer_tflops=500"]
    cluster = cluster_of(parse(given_).plan)
    assert cluster is not None and cluster.gpu.gib == 192
    assert cluster_of(parse([]).plan) is None


# The command


def test_the_cluster_table_and_its_json_say_the_same(capsys):
    arguments = ["recipe=wan14b_720p", "plan.gpu=h100", "plan.gpus=8", "plan.price=2"]
    config = parse(arguments)
    run(replace(config, plan=replace(config.plan, json=True)))
    found = json.loads(capsys.readouterr().out)
    assert not found["fits"] and found["limits"][0] == {
        "what": "GPUs of the cluster",
        "needs": 10,
        "has": 8,
        "unit": "GPUs",
    }
    assert found["nearest"]["train.workers"] == 4
    parts = found["training_gpu_gib"]
    assert parts["peak"] == pytest.approx(sum(gib for name, gib in parts.items() if name != "peak"))
    run(config)
    table = " ".join(capsys.readouterr().out.split())
    assert f"{parts['peak']:.1f} GiB at the peak: weights {parts['weights']:.1f}" in table
    assert "does NOT fit" in table and f"{found['store_gib']:.0f} GiB of store" in table
    assert found["work"]["student_flops"] * 8 / 1e12 == pytest.approx(7118, abs=1)
    assert "7118 TFLOP a step for the student (1779 forward, 3559 backward, 1779 computed again); 1800 for" in table
    assert f"work is {found['balance']:.2f} of the student's" in table


def test_a_process_without_gpus_is_planned_whole(capsys, monkeypatch):
    monkeypatch.chdir(Path(__file__).parent.parent.parent)
    config = parse(["plan.train_tflops=1", "plan.infer_tflops=1"])
    run(replace(config, plan=replace(config.plan, json=True)))
    found = json.loads(capsys.readouterr().out)["process_gib"]
    for side, gib in found.items():
        assert gib["peak"] == pytest.approx(sum(size for name, size in gib.items() if name != "peak"))
        assert gib["process"] == PROCESS_GIB[side]
    student = sizes.pipeline(config.models.student, "models.student")
    assert found["training"]["weights"] * GIB == 4 * parameter_count(student.dit, student.image_tokens)
    run(config)
    table = " ".join(capsys.readouterr().out.split())
    assert f"training process {found['training']['peak']:.2f} GiB: weights" in table
    assert f"teaching process {found['teaching']['peak']:.2f} GiB" in table


def test_every_large_recipe_fits_ten_h100s():
    for recipe in LARGE:
        config, _, found = planned(f"recipe={recipe}", "plan.gpu=h100", "plan.gpus=10")
        assert not found.limits, found.limits
        assert config.teacher.gpus == config.train.gpus_per_worker == 1
        assert found.held.student_gpu / GIB < 73


def test_storage_takes_a_checkpoint_before_the_next_is_due():
    """Bytes over seconds: by steps, by minutes, by whichever comes first, and at least one a run."""
    size = 16 * parameter_count(I2V.dit, I2V.image_tokens)
    for every, minutes in ((100, 0.0), (0, 10.0), (100, 0.5), (10**6, 0.0)):
        _, _, plan = planned(
            "recipe=wan14b_480p",
            "plan.gpu=h100",
            f"train.checkpoint_every={every}",
            f"train.checkpoint_minutes={minutes}",
        )
        step_s = plan.pace.step_s
        shortest = min(s for s in (every * step_s, 60 * minutes, 1250 * step_s) if s)
        assert plan.checkpoint_gb_s * 1e9 * shortest == pytest.approx(size)


def test_no_large_recipe_asks_storage_for_more_than_a_gigabyte_a_second():
    """One checkpoint of 244 GiB every 100 steps would need 2.7 GB/s."""
    for recipe in LARGE:
        assert planned(f"recipe={recipe}", "plan.gpu=h100", "plan.gpus=10")[2].checkpoint_gb_s < 1


def test_a_replica_is_no_faster_than_its_targets_leave_it():
    """Each target is copied to pinned memory and then into the object store, beside the next forward."""
    _, cluster, plan = planned("recipe=wan14b_480p", "plan.gpu=h100")
    bus_s, put_s = plan.work.target_bytes / 1e9 / cluster.gpu.host_gb_s, plan.work.target_bytes / 1e9 / PUT_GB_S
    assert plan.seconds.copy == pytest.approx(bus_s + put_s)
    _, _, fast = planned("recipe=wan14b_480p", "plan.gpu=h100", "plan.infer_tflops=1e6")
    assert fast.seconds.target == fast.seconds.copy == plan.seconds.copy < plan.seconds.target
    _, _, direct = planned("recipe=wan14b_480p", "plan.gpu=h100", "teacher.transport=nixl")
    assert direct.seconds.copy == 0
