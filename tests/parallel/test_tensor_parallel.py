"""A DiT split over real processes equals diffusers' own forward, and no rank reads or holds more than its part."""

import json
import re

import pytest
import torch
import torch.distributed as dist
from accelerate import init_empty_weights
from diffusers import WanTransformer3DModel
from safetensors.torch import load_file, save_file
from torch import nn

from tests.support import ranks as rank_processes
from tests.support.counted import CountedFile
from tests.support.dit import TAPS, make, stock
from v4e.models.dit import hidden_states, predict
from v4e.models.sizes import WAN14B_FLF2V
from v4e.parallel import cuts, tensor_parallel
from v4e.weights import shard
from v4e.weights.load import DTYPES, load_dit

KINDS = ("i2v", "flf2v")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Folders ``i2v`` (one file) and ``flf2v`` (many files with an index), with heads of very different scales."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for kind in KINDS:
        dit, *_ = make(kind == "flf2v")
        for name, module in dit.named_modules():
            if isinstance(module, nn.RMSNorm):
                nn.init.normal_(module.weight, mean=1.0, std=0.3)
            if re.search(r"to_q|to_k|add_k_proj", name):  # else each head's mean square is about the whole one
                module.weight.data *= torch.linspace(1, 6, 4).repeat_interleave(40)[:, None]
        (folder / kind).mkdir()
        (folder / kind / "model_index.json").write_text("{}")
        dit.save_pretrained(folder / kind / "transformer", max_shard_size="1MB" if kind == "flf2v" else "1GB")
    return folder


def local_norm(self, x_BNd):
    """The mistake: each rank by the mean square of its own heads."""
    return nn.functional.rms_norm(x_BNd, x_BNd.shape[-1:], self.weight, self.eps)


@torch.inference_mode()
def rank_main(rank, size, folder, out):
    """Everything that is asked of a rank of `size`, in one process, since starting one takes seconds."""
    dist.init_process_group("gloo", init_method=f"file://{out}/meet", rank=rank, world_size=size)
    shard.safe_open = CountedFile
    results, facts = {}, {}
    for kind in KINDS:
        _, *inputs = make(kind == "flf2v")
        for name, dtype in DTYPES.items():
            for fold in (False, True):
                CountedFile.read = 0
                dit = load_dit(str(folder / kind), dtype, fold_pad=fold, group=dist.group.WORLD)
                u, h = predict(dit, *inputs, taps=TAPS)
                results |= {f"{kind}/{name}/{fold}/u": u, f"{kind}/{name}/{fold}/h": torch.stack(h)}
                facts[f"{kind}/{name}"] = {
                    "read": CountedFile.read,
                    "held": sum(p.nbytes for p in dit.parameters()),
                    "heads": dit.blocks[0].attn2.heads,
                }
        results[f"{kind}/taps"] = hidden_states(dit, *inputs, taps=TAPS)
        tensor_parallel.NormAcrossRanks.forward, right = local_norm, tensor_parallel.NormAcrossRanks.forward
        dit = load_dit(str(folder / kind), torch.float32, group=dist.group.WORLD)
        results[f"{kind}/wrong"] = predict(dit, *inputs)[0]
        tensor_parallel.NormAcrossRanks.forward = right
    save_file({key: value.contiguous() for key, value in results.items()}, out / f"{rank}.safetensors")
    (out / f"{rank}.json").write_text(json.dumps(facts))
    dist.destroy_process_group()


@pytest.fixture(scope="module", params=[1, 2, pytest.param(4, marks=pytest.mark.long)])
def ranks(request, checkpoints, tmp_path_factory):
    """``(size, results, facts)``, the latter two a rank each."""
    size, out = request.param, tmp_path_factory.mktemp("ranks")
    rank_processes.run(rank_main, size, size, checkpoints, out)
    results = [load_file(out / f"{rank}.safetensors") for rank in range(size)]
    return size, results, [json.loads((out / f"{rank}.json").read_text()) for rank in range(size)]


@pytest.fixture(scope="module")
def truth(checkpoints):
    """diffusers' own float32 forward: velocity and taps of each kind."""
    found = {}
    for kind in KINDS:
        dit = WanTransformer3DModel.from_pretrained(checkpoints / kind, subfolder="transformer").eval()
        _, *inputs = make(kind == "flf2v")
        found[kind] = dict(zip("uh", stock(dit, *inputs), strict=True))
    return found


def worst(found, expected) -> float:
    """Largest difference, by the largest value; of taps, in the worst one."""
    pairs = zip(found, expected, strict=True) if found.ndim == 4 else [(found, expected)]
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in pairs)


def distance(found, expected) -> float:
    return ((found.float() - expected).norm() / expected.norm()).item()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fold", [False, True])
def test_float32_equals_diffusers_on_every_rank(ranks, truth, kind, fold):
    for results in ranks[1]:
        for name, expected in truth[kind].items():
            assert worst(results[f"{kind}/float32/{fold}/{name}"], expected) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_is_as_near_to_float32_as_the_unsplit_model(ranks, truth, checkpoints, kind):
    _, *inputs = make(kind == "flf2v")
    for fold in (False, True):
        with torch.inference_mode():
            u, h = predict(load_dit(str(checkpoints / kind), torch.bfloat16, fold_pad=fold), *inputs, taps=TAPS)
        for name, whole in (("u", u), ("h", torch.stack(h))):
            own_error = distance(whole, truth[kind][name])
            for results in ranks[1]:
                assert distance(results[f"{kind}/bfloat16/{fold}/{name}"], truth[kind][name]) < 1.25 * own_error


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_norm_over_a_ranks_own_heads_would_be_seen(ranks, truth, kind):
    size, results, _ = ranks
    error = worst(results[0][f"{kind}/wrong"], truth[kind]["u"])
    assert error < 1e-5 if size == 1 else error > 1e-2


@pytest.mark.slow
def test_every_rank_has_the_same_bits(ranks):
    first, *others = ranks[1]
    for other in others:
        for key, value in first.items():
            assert key.endswith("wrong") or torch.equal(value, other[key]), key
    for kind in KINDS:
        assert torch.equal(first[f"{kind}/taps"], first[f"{kind}/bfloat16/True/h"])  # stopped after the last tap


@pytest.mark.slow
def test_a_rank_holds_and_reads_its_part_and_no_more(ranks, checkpoints):
    size, _, facts = ranks
    D, F, E, layers = 160, 480, 160, 6
    qkv = 3 * (D * D + D) + 2 * D
    cut = 2 * (qkv + D * D) + 2 * (E * D + D) + D + (D * F + F) + F * D  # numbers of a block that are split
    for kind in KINDS:
        with init_empty_weights():
            dit = make(kind == "flf2v")[0]
        every = sum(p.numel() for p in dit.parameters())
        exact = sum(p.numel() for n, p in dit.named_parameters() if set(n.split(".")) & set(dit._keep_in_fp32_modules))
        held = every - layers * cut + layers * cut // size
        for fact in facts:
            assert fact[f"{kind}/float32"] == {"read": 4 * held, "held": 4 * held, "heads": 4 // size}
            assert fact[f"{kind}/bfloat16"] == {"read": 4 * held, "held": 2 * held + 2 * exact, "heads": 4 // size}


# Wan2.1 14B's own keys: (shape, dimension that is cut) of a block, and what is not in a block.
ATTENTION = {
    **{f"{part}.weight": ((5120, 5120), 0) for part in ("to_q", "to_k", "to_v")},
    **{f"{part}.bias": ((5120,), 0) for part in ("to_q", "to_k", "to_v")},
    "norm_q.weight": ((5120,), 0),
    "norm_k.weight": ((5120,), 0),
    "to_out.0.weight": ((5120, 5120), 1),
    "to_out.0.bias": ((5120,), None),
}
ADDED = {
    "add_k_proj.weight": ((5120, 5120), 0),
    "add_k_proj.bias": ((5120,), 0),
    "add_v_proj.weight": ((5120, 5120), 0),
    "add_v_proj.bias": ((5120,), 0),
    "norm_added_k.weight": ((5120,), 0),
}
BLOCK = {
    "scale_shift_table": ((1, 6, 5120), None),
    "norm2.weight": ((5120,), None),
    "norm2.bias": ((5120,), None),
    "ffn.net.0.proj.weight": ((13824, 5120), 0),
    "ffn.net.0.proj.bias": ((13824,), 0),
    "ffn.net.2.weight": ((5120, 13824), 1),
    "ffn.net.2.bias": ((5120,), None),
    **{f"attn1.{name}": cut for name, cut in ATTENTION.items()},
    **{f"attn2.{name}": cut for name, cut in (ATTENTION | ADDED).items()},
}


@pytest.fixture
def group_of():
    """A group of any size in this process, whose collectives do nothing."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    def make_group(size: int, rank: int = 0):
        dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=size)
        return dist.group.WORLD

    yield make_group
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def whole_14b():
    with init_empty_weights():
        return {name: tuple(p.shape) for name, p in WanTransformer3DModel(**WAN14B_FLF2V).named_parameters()}


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 4, 8])
def test_every_key_of_wan_14b_is_cut_or_held_whole_as_the_table_says(whole_14b, group_of, size):
    expected = {f"blocks.{block}.{name}": cut for block in range(40) for name, cut in BLOCK.items()}
    outside = {name for name in whole_14b if not name.startswith("blocks.")}
    assert whole_14b.keys() == expected.keys() | outside
    with init_empty_weights():
        dit = WanTransformer3DModel(**WAN14B_FLF2V)
    tensor_parallel.split(dit, group_of(size))
    split = {name: tuple(p.shape) for name, p in dit.named_parameters()}
    assert split.keys() == whole_14b.keys()
    for name, shape in whole_14b.items():
        known, dim = expected.get(name, (shape, None))
        assert shape == known
        assert split[name] == tuple(n // size if at == dim else n for at, n in enumerate(shape)), name
        parts = [cuts.own_part(name, shape, rank, size) for rank in range(size)]
        if dim is None:
            assert all(part == (slice(None),) * len(shape) for part in parts), name
        else:  # one after the other, they are the whole
            assert [part[dim].start for part in parts] == [rank * shape[dim] // size for rank in range(size)]
            assert [part[dim].stop for part in parts] == [(rank + 1) * shape[dim] // size for rank in range(size)]
    assert all(a.heads == 40 // size for block in dit.blocks for a in (block.attn1, block.attn2))


def test_degrees_that_do_not_divide_are_refused_before_anything_is_read(checkpoints, group_of, monkeypatch):
    monkeypatch.setattr(shard, "safe_open", None)
    with pytest.raises(ValueError, match=r"4 heads and 480 FFN neurons.*teacher\.tp to one of 1, 2, 4$"):
        load_dit(str(checkpoints / "i2v"), torch.float32, group=group_of(3))


def test_a_degree_must_divide_the_heads_and_the_neurons():
    for size in (1, 2, 4, 8):
        cuts.check_degree(size, 40, 13824)
    with pytest.raises(ValueError, match=r"over 5 ranks.*one of 1, 2, 4, 8$"):  # 40 heads would, 13824 neurons not
        cuts.check_degree(5, 40, 13824)


@torch.inference_mode()
def test_a_hub_id_is_read_from_the_cache(checkpoints, group_of, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--wan--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots").mkdir()
    (repository / "snapshots" / ("0" * 40)).symlink_to(checkpoints / "flf2v")
    group = group_of(2, rank=1)
    found, expected = (load_dit(f, torch.float32, group=group) for f in ("wan/tiny", str(checkpoints / "flf2v")))
    for ours, theirs in zip(found.parameters(), expected.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_checkpoint_of_another_config_is_refused(checkpoints, group_of, tmp_path):
    folder = tmp_path / "other"
    (folder / "transformer").mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    source = checkpoints / "i2v" / "transformer"
    weights = load_file(source / "diffusion_pytorch_model.safetensors")
    settings = json.loads((source / "config.json").read_text())
    (folder / "transformer" / "config.json").write_text(json.dumps(settings | {"ffn_dim": 640}))
    save_file(weights, folder / "transformer" / "diffusion_pytorch_model.safetensors")
    group = group_of(2)
    with pytest.raises(ValueError, match=r"blocks\.0\.ffn\.net\.0\.proj\.weight.*not of this config"):
        load_dit(str(folder), torch.float32, group=group)
    weights.pop("proj_out.bias")
    (folder / "transformer" / "config.json").write_text(json.dumps(settings))
    save_file(weights, folder / "transformer" / "diffusion_pytorch_model.safetensors")
    with pytest.raises(ValueError, match=r"no weight proj_out\.bias"):
        load_dit(str(folder), torch.float32, group=group)
