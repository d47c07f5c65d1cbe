"""The sharded student over real processes: it starts from its own rows, does the single process's step, and speaks no
more than it must."""

from collections import Counter
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from diffusers import WanTransformer3DModel
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.support import ranks
from tests.support.counted import CountedFile
from tests.support.student import CPU, make_batch, make_dit, make_trainer
from tests.support.synthetic import config
from v4e.config import Config, Train
from v4e.models.dtype import dtype_of
from v4e.parallel.fsdp import student_mesh
from v4e.parallel.local import local
from v4e.training.student import StudentTrainer
from v4e.weights import shard
from v4e.weights.load import load_student

RANKS = 4
STEPS = 2
FORWARDS = 8  # a step, over all ranks: two on each
VARIANTS: dict[str, dict[str, object]] = {
    "plain": {},
    "groups of two": {"shard": 2},
    "replicas": {"shard": 1},
    "reduced each": {"shard": 2, "reduce": "each"},
    "selective": {"recompute": "selective"},
    "offloaded": {"offload": "all", "recompute": "full"},
    "offloaded moments": {"offload": "optimizer"},
    "bfloat16": {"dtype": "bfloat16"},
}
QUICK = ("groups of two", "bfloat16")  # the second shards over all four
NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in VARIANTS]


def settings(**train: object) -> Config:
    return config(train={"workers": RANKS, **train}, optim={"accumulate": FORWARDS})


def step(trainer: StudentTrainer, number: int, rank: int) -> dict[str, float]:
    """Ranks take the forwards of a step in turns, as v4e.training.schedule deals them."""
    return trainer.step(make_batch(number, forward) for forward in range(rank, FORWARDS, trainer.world))


def sharded_trainer(**train: object) -> StudentTrainer:
    run = settings(**train)
    return StudentTrainer(run, make_dit(), device=CPU, mesh=student_mesh(run.train, "cpu", RANKS))


def whole(tensors) -> torch.Tensor:
    return torch.cat([(t.full_tensor() if isinstance(t, DTensor) else t).detach().flatten() for t in tensors])


def rank_main(rank: int, folder: str, family: str, names: tuple[str, ...]) -> None:
    """Everything that is asked of a rank, in one process, since starting one takes seconds."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=RANKS)
    found: dict[str, object] = {}
    for name in names:
        trainer = sharded_trainer(**VARIANTS[name])
        metrics = [step(trainer, 0, rank)]
        with Collectives() as collectives:  # FSDP sets itself up in the first step
            metrics.append(step(trainer, 1, rank))
        weights, ema = whole(trainer.parameters), whole(trainer.ema.shadow.values())
        held = sum(local(p).numel() for p in trainer.parameters)
        found[name] = {"metrics": metrics, "weights": weights, "ema": ema, "held": held}
        found[name]["whole"] = spread_of_whole(trainer)
        found[name]["traffic"] = dict(collectives.counts)
    found["start"] = start_weights(family)
    if rank == 0:
        torch.save(found, f"{folder}/found.pt")
    dist.destroy_process_group()


def spread_of_whole(trainer: StudentTrainer) -> dict[str, float]:
    """Returns how far ranks are apart in the weights that each of them holds whole, after some steps."""
    spread = {}
    for name, parameter in trainer.dit.named_parameters():
        if not isinstance(parameter, DTensor):
            lowest, highest = parameter.detach().clone(), parameter.detach().clone()
            dist.all_reduce(lowest, dist.ReduceOp.MIN)
            dist.all_reduce(highest, dist.ReduceOp.MAX)
            spread[name] = (highest - lowest).max().item()
    return spread


def start_weights(family: str) -> dict[str, object]:
    """The weights and rotary tables of a student that starts sharded, and what of the files this rank has read."""
    shard.safe_open, CountedFile.read = CountedFile, 0
    train: dict[str, object] = {"workers": RANKS, "shard": 2, "dtype": "bfloat16"}
    run = config(models={"student": family}, train=train, optim={"accumulate": FORWARDS})
    dit = load_student(run, CPU, student_mesh(run.train, "cpu", RANKS))
    weights = {name: whole([p]).view(p.shape) for name, p in dit.named_parameters()}
    held = sum(local(p).nbytes for p in dit.parameters())
    rope = torch.stack([dit.rope.freqs_cos, dit.rope.freqs_sin])
    return {"weights": weights, "rope": rope, "read": CountedFile.read, "held": held}


class Collectives(TorchDispatchMode):
    """Counts what a process says to the others, but for what DTensors say inside their operators."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace in ("c10d", "_c10d_functional"):
            self.counts[func.name()] += 1
        return func(*args, **(kwargs or {}))


def run_ranks(folder: Path, family: Path, names: tuple[str, ...]) -> dict:
    ranks.run(rank_main, RANKS, str(folder), str(family / "tiny-wan-i2v"), names)
    return torch.load(folder / "found.pt", weights_only=True)


@pytest.fixture(scope="module")
def quick(tmp_path_factory, random_family) -> dict:
    return run_ranks(tmp_path_factory.mktemp("ranks"), random_family, QUICK)


@pytest.fixture(scope="module")
def others(tmp_path_factory, random_family) -> dict:
    return run_ranks(tmp_path_factory.mktemp("ranks"), random_family, tuple({*VARIANTS} - {*QUICK}))


@pytest.fixture
def found(name: str, request: pytest.FixtureRequest) -> dict:
    """What the variant `name` did."""
    return request.getfixturevalue("quick" if name in QUICK else "others")[name]


@pytest.fixture(scope="module")
def single() -> tuple[StudentTrainer, list[dict[str, float]]]:
    """A trainer without a process group that has done the same steps, and its metrics."""
    trainer = make_trainer(config(optim={"accumulate": FORWARDS}))
    return trainer, [step(trainer, number, 0) for number in range(STEPS)]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_sharded_workers_do_the_single_workers_step(name, found, single):
    trainer, expected = single
    exact = name != "bfloat16"
    for ours, theirs in zip(found["metrics"], expected, strict=True):
        for metric in theirs:
            assert ours[metric] == pytest.approx(theirs[metric], rel=1e-4 if exact else 5e-2), metric
    if exact:
        # A first Adam step is the sign of a gradient: where that is rounding noise the two may part.
        start, weights = whole(make_dit().parameters()), whole(trainer.parameters)
        moved = (weights - start).norm()
        assert (found["weights"] - weights).norm() < 0.05 * moved
        assert (found["ema"] - whole(trainer.ema.shadow.values())).norm() < 0.05 * moved


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_rank_holds_its_share(name, found, single):
    """In groups of two a rank holds a half, as a replica everything. Short dimensions leave some ranks with nothing."""
    count = sum(p.numel() for p in single[0].parameters)
    parts = VARIANTS[name].get("shard", RANKS)
    assert found["held"] == pytest.approx(count / parts, rel=0.02)
    assert found["held"] >= count / parts


@pytest.mark.slow
def test_a_student_that_starts_sharded_has_from_pretraineds_weights_to_the_bit(quick, random_family):
    dit = WanTransformer3DModel.from_pretrained(random_family / "tiny-wan-i2v", subfolder="transformer")
    weights = dict(dit.named_parameters())
    assert quick["start"]["weights"].keys() == weights.keys()
    assert all(torch.equal(quick["start"]["weights"][name], weight) for name, weight in weights.items())
    assert quick["start"]["read"] == quick["start"]["held"] < 0.51 * sum(p.nbytes for p in dit.parameters())
    assert torch.equal(quick["start"]["rope"], torch.stack([dit.rope.freqs_cos, dit.rope.freqs_sin]))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_what_diffusers_keeps_in_float32_is_whole_and_the_same_on_each_rank(name, found):
    """Only where FSDP would cast it: a float32 run shards everything, as ever."""
    kept = [name for name, _ in make_dit().named_parameters() if dtype_of(name, torch.bfloat16) == torch.float32]
    small = {name for name in kept if "time_embedder" not in name}
    assert {"scale_shift_table", "blocks.0.norm2.weight", "condition_embedder.image_embedder.norm1.bias"} <= small
    assert found["whole"] == (dict.fromkeys(small, 0.0) if name == "bfloat16" else {})


@pytest.mark.parametrize(("world", "shard"), [(4, 3), (2, 4)])
def test_workers_that_cannot_be_grouped_are_refused(world, shard):
    with pytest.raises(ValueError, match=f"train.shard={shard} does not divide the {world} workers"):
        student_mesh(Train(workers=12, shard=shard), "cpu", world)


def test_offload_without_a_way_to_reduce_in_host_memory_is_refused(monkeypatch):
    monkeypatch.setattr(dist, "get_backend_config", lambda: "cuda:nccl")
    with pytest.raises(ValueError, match="backend cpu:gloo,cuda:nccl"):
        student_mesh(Train(offload="all"), "cuda", 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "reductions", "between"),
    [
        pytest.param("plain", 1, 0, marks=pytest.mark.long),
        ("groups of two", 1, 8),
        pytest.param("reduced each", 2, 8, marks=pytest.mark.long),
    ],
)
def test_gradients_travel_once_a_step(name, reductions, between, found):
    """Each of six blocks, the time embedding and the rest are a group. Each is gathered for two forwards and their
    backwards, but for the rest, which FSDP keeps from a forward to its backward. `between` are the replicas' sums."""
    groups, forwards = 8, 2
    assert found["traffic"]["c10d::_reduce_scatter_base_"] == groups * reductions
    assert found["traffic"]["c10d::_allgather_base_"] == (2 * groups - 1) * forwards
    assert found["traffic"]["c10d::allreduce_"] == 1 + between  # 1 of the metrics
