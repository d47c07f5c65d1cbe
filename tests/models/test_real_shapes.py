"""Wan2.1-14B itself: the true classes without memory, and checkpoints of true width with fewer blocks."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from accelerate import init_empty_weights
from diffusers import WanTransformer3DModel
from safetensors.torch import save_file
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore

from benchmarks.support.random_student import batch_of, write_checkpoint
from tests.support import ranks
from tests.support.original import ORIGINAL_14B
from v4e.config import KD, Config, Lora, Models, Optim, Run, Train, parse
from v4e.models import sizes
from v4e.models.dit import DitInputs, hidden_states, predict
from v4e.models.dtype import dtype_of
from v4e.parallel.cuts import own_part
from v4e.parallel.fsdp import shard_student, student_mesh
from v4e.parallel.tensor_parallel import split
from v4e.planning.memory import parameter_count, student_memory, teacher_memory
from v4e.planning.work import Reads
from v4e.training import checkpoint
from v4e.training.student import StudentTrainer
from v4e.weights.convert import convert, original_name
from v4e.weights.export import export_pipeline
from v4e.weights.load import load_dit, load_student, set_attention
from v4e.weights.shard import own_rows

GRID, IMAGE = (2, 60, 104), 257
KINDS = {"i2v": sizes.WAN14B_I2V, "flf2v": sizes.WAN14B_FLF2V}
CPU = torch.device("cpu")


def empty(kind: str) -> WanTransformer3DModel:
    with init_empty_weights():
        return WanTransformer3DModel(**KINDS[kind])


@pytest.fixture
def pretended() -> Iterator:
    """Makes this process one of so many ranks, whose collectives do nothing."""

    def start(size: int) -> dist.ProcessGroup:
        dist.init_process_group("fake", rank=0, world_size=size, store=FakeStore())
        assert dist.group.WORLD is not None
        return dist.group.WORLD

    yield start
    dist.destroy_process_group()


def inputs_of(kind: str, dtype: torch.dtype):
    of = sizes.dit(KINDS[kind])

    def on_meta(*shape: int) -> torch.Tensor:
        return torch.empty(*shape, device="meta", dtype=dtype)

    text, image_BID = [on_meta(27, of.text_width)], on_meta(1, of.images * IMAGE, of.image_width)
    inputs = DitInputs(y_BCFHW=on_meta(1, 20, *GRID), text=text, image_BID=image_BID)
    return on_meta(1, 16, *GRID), torch.empty(1, device="meta"), inputs


@pytest.mark.slow
@pytest.mark.parametrize("tp", [2, 4, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_of_14b_is_cut_into_parts_that_make_it_whole(kind, tp):
    total = 0
    for name, weight in empty(kind).named_parameters():
        parts = [weight[own_part(name, weight.shape, rank, tp)].numel() for rank in range(tp)]
        assert len(set(parts)) == 1
        assert sum(parts) in (weight.numel(), tp * weight.numel()), name
        if name.startswith("blocks.") and weight.numel() > 5120 * 100 and "scale_shift" not in name:
            assert sum(parts) == weight.numel(), f"{name} is not cut"
        total += parts[0]
    memory = parse(["recipe=wan14b_720p", f"teacher.tp={tp}"])
    reads = Reads(clip=3120, text=512, image=514)
    planned, _ = teacher_memory(memory, sizes.dit(KINDS[kind]), reads, image_tokens=IMAGE)
    assert planned == pytest.approx(2 * total, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_taps_of_a_rank_of_14b_have_the_shape_that_travels(kind, pretended):
    dit = set_attention(split(empty(kind), pretended(2)), "native", False).to("meta")
    assert dit.blocks[0].attn1.to_q.weight.shape == (2560, 5120)
    assert dit.blocks[39].ffn.net[2].weight.shape == (5120, 6912)
    with torch.inference_mode():
        taps_KBND = hidden_states(dit, *inputs_of(kind, torch.float32), taps=(9, 39))
    assert taps_KBND.shape == (2, 1, 3120, 5120)


def test_fsdp_shards_every_weight_of_14b_as_planned(pretended):
    pretended(8)
    dit = shard_student(empty("i2v"), init_device_mesh("cpu", (8,), mesh_dim_names=("shard",)), torch.bfloat16)
    held = 0
    for name, parameter in dit.named_parameters():
        assert parameter.dtype == torch.float32, name
        # Whole on each rank is what is small and not to be cast to bfloat16.
        exact = dtype_of(name, torch.bfloat16) == torch.float32 and "time_embedder" not in name
        assert exact != isinstance(parameter, DTensor), name
        if exact:
            held += parameter.numel()
            continue
        rows = own_rows(parameter.shape, parameter.device_mesh)[0]
        assert parameter.to_local().shape[0] == rows.stop - rows.start, name
        held += parameter.to_local().numel()
    run = parse(["recipe=wan14b_720p"])
    memory = student_memory(
        run, sizes.dit(sizes.WAN14B_I2V), Reads(clip=7200, text=512, image=IMAGE), workers=8, image_tokens=IMAGE
    )
    assert memory.weights == pytest.approx(4 * held, rel=1e-3)  # what has one row is on one rank


@pytest.mark.parametrize("kind", KINDS)
def test_what_diffusers_keeps_in_float32_stays_so(kind):
    kept = WanTransformer3DModel._keep_in_fp32_modules
    for name, _ in empty(kind).named_parameters():
        expected = torch.float32 if any(part in name.split(".") for part in kept) else torch.bfloat16
        assert dtype_of(name, torch.bfloat16) == expected, name


# True width, fewer blocks


def write_original(folder: Path, kind: str, blocks: int) -> None:
    """Random weights under the names and in the layout that Wan published first."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**ORIGINAL_14B, "model_type": kind, "num_layers": blocks}))
    with init_empty_weights():
        dit = WanTransformer3DModel(**KINDS[kind] | {"num_layers": blocks})
    state = {original_name(n): torch.randn(p.shape, dtype=torch.bfloat16) * 0.02 for n, p in dit.named_parameters()}
    for number, first in enumerate(("blocks.", "")):
        part = {name: state.pop(name) for name in list(state) if name.startswith(first)}
        save_file(part, folder / f"diffusion_pytorch_model-0000{number}-of-00002.safetensors")


def write_pipeline(layout: str, folder: Path, kind: str, blocks: int, family: Path) -> None:
    """`folder`/`kind`: a pipeline folder as the hub has it, or one converted from the original layout."""
    if layout == "diffusers":
        write_checkpoint(folder / kind, {**KINDS[kind], "num_layers": blocks})
        return
    write_original(folder / "original", kind, blocks)
    encoders = str(family / f"tiny-wan-{kind}")
    convert(str(folder / "original"), encoders, str(folder / kind), dtype=torch.bfloat16)


def small_inputs(kind: str):
    of, generator = sizes.dit(KINDS[kind]), torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).bfloat16()

    text, image_BID = [normal(9, of.text_width)], normal(1, of.images * IMAGE, of.image_width)
    x, y = normal(1, 16, 2, 8, 8), normal(1, 20, 2, 8, 8)
    return x, torch.full((1,), 0.5), DitInputs(y_BCFHW=y, text=text, image_BID=image_BID)


def teach(rank: int, folder: str) -> None:
    """A rank of two loads its part of the teacher, and answers."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    dit = load_dit(f"{folder}/flf2v", torch.bfloat16, group=dist.group.WORLD)
    with torch.inference_mode():
        taps = hidden_states(dit, *small_inputs("flf2v"), taps=(0, 1))
    torch.save(taps, f"{folder}/taps-{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("layout", ["diffusers", "original"])
def test_a_teacher_of_true_width_answers_alike_on_one_rank_and_on_two(layout, random_family, tmp_path):
    write_pipeline(layout, tmp_path, "flf2v", 2, random_family)
    ranks.run(teach, 2, str(tmp_path))
    first, second = (torch.load(tmp_path / f"taps-{rank}.pt") for rank in (0, 1))
    assert torch.equal(first, second)
    whole = load_dit(str(tmp_path / "flf2v"), torch.bfloat16).eval()
    with torch.inference_mode():
        alone = hidden_states(whole, *small_inputs("flf2v"), taps=(0, 1))
    assert first.shape == (2, 1, 32, 5120)
    assert (first.float() - alone.float()).norm() < 0.02 * alone.float().norm()


def of_true_width(folder: str, **more) -> Config:
    return Config(
        recipe="wide",
        run=Run(dir=f"{folder}/run"),
        models=Models(student=f"{folder}/i2v"),
        optim=Optim(accumulate=2, steps=1),
        kd=KD(taps=(0,)),
        train=Train(workers=2, dtype="bfloat16", recompute="full"),
        **more,
    )


def learn(rank: int, folder: str, rank_of_lora: int) -> None:
    """A rank of two loads its shard of the student, takes a step, and saves."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    run = of_true_width(folder, lora=Lora(rank=rank_of_lora))
    mesh = student_mesh(run.train, "cpu", 2)
    trainer = StudentTrainer(run, load_student(run, CPU, mesh), device=CPU, mesh=mesh)
    metrics = trainer.step([batch_of(run, {**sizes.WAN14B_I2V, "num_layers": 1}, 8, IMAGE)])
    assert all(map(math.isfinite, metrics.values())) and metrics["grad_norm"] > 0
    checkpoint.save(f"{folder}/run/checkpoints", 1, trainer.state_dict(), keep=1)
    dist.destroy_process_group()


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "blocks", "lora"),
    [("diffusers", 1, 0), ("diffusers", 2, 64), ("original", 2, 64)],  # all of two blocks would take 20 GiB
)
def test_a_student_of_true_width_goes_from_a_checkpoint_to_a_pipeline(layout, blocks, lora, random_family, tmp_path):
    write_pipeline(layout, tmp_path, "i2v", blocks, random_family)
    ranks.run(learn, 2, str(tmp_path), lora)
    export_pipeline(
        checkpoint.path_of(tmp_path / "run" / "checkpoints", 1),
        str(tmp_path / "i2v"),
        str(tmp_path / "out"),
        weights="model",
        dtype=torch.bfloat16,
        shard_bytes=500 << 20,
        lora=Lora(rank=lora),
        card="",
    )
    before, after = (load_dit(str(tmp_path / name), torch.bfloat16) for name in ("i2v", "out"))
    assert sum(p.numel() for p in after.parameters()) == parameter_count(
        sizes.dit({**sizes.WAN14B_I2V, "num_layers": blocks}), IMAGE
    )
    changed = [
        n for (n, a), b in zip(before.named_parameters(), after.parameters(), strict=True) if not torch.equal(a, b)
    ]
    assert changed and (lora == 0 or all("attn" in name for name in changed))
    with torch.inference_mode():
        u_BCFHW, _ = predict(after, *small_inputs("i2v"))
    assert u_BCFHW.shape == (1, 16, 2, 8, 8) and u_BCFHW.isfinite().all()
