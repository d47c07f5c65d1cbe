"""Pretraining: a killed run ends where an uninterrupted one does; the shared optimizer equals the whole one."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import nn

from pipelines.stages import pretrain
from tests.support import ranks
from v4e.config.commands import PretrainOptions
from v4e.models import tiny
from v4e.models.attention import fold_pads
from v4e.models.dit import DitInputs, predict
from v4e.models.tiny_sizes import TinySizes
from v4e.tiny.pretrain import dit, latents, open_gate, start, vae
from v4e.tiny.pretrain.corpus import write_corpus
from v4e.tiny.pretrain.optim import MuonAdamW, hidden_matrices
from v4e.tiny.world2.edits import SPATIAL
from v4e.weights.frozen import load_frozen
from v4e.weights.load import load_dit

CLIPS = 24


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """A corpus, an untrained VAE and the latents."""
    folder = tmp_path_factory.mktemp("pretrain")
    write_corpus(folder / "corpus", CLIPS, 0, 1)
    torch.manual_seed(0)
    save_file({f"ema/{k}": v for k, v in tiny.build_vae().state_dict().items()}, folder / "vae.safetensors")
    latents.measure_stats(folder, clips=CLIPS)
    for stage in ("base", "teacher"):
        latents.encode(0, 1, folder, stage, CLIPS)
    return folder


@pytest.fixture
def group(tmp_path):
    """This process as a group of one."""
    dist.init_process_group("gloo", rank=0, world_size=1, init_method=f"file://{tmp_path / 'group'}")
    yield
    dist.destroy_process_group()


class Killed(BaseException):
    pass


@pytest.mark.long
@pytest.mark.slow
def test_a_killed_run_ends_where_an_uninterrupted_one_does(work, group, monkeypatch):
    def train():
        dit.train(0, 1, work, "base", 4, 2, CLIPS, 1.0, every=2)
        return load_file(work / "base.safetensors")

    expected = train()
    (work / "base.safetensors").unlink()

    def die(_meter, step, **_metrics):
        if step == 4:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(dit.PretrainMeter, "__call__", die)
        with pytest.raises(Killed):
            train()
    found = train()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[k], expected[k]) for k in expected)


@pytest.mark.slow
def test_the_teacher_starts_as_its_base_and_keeps_its_encoders(work, group):
    dit.train(0, 1, work, "base", 2, 2, CLIPS, 1.0)
    base = load_file(work / "base.safetensors")
    dit.train(0, 1, work, "teacher", 1, 2, CLIPS, 0.5)
    teacher = load_file(work / "teacher.safetensors")
    frozen = [k for k in base if k.startswith(("model/text.", "model/image."))]
    assert frozen
    assert all(torch.equal(teacher[k], base[f"ema/{k[6:]}"]) for k in frozen)
    moved = "model/dit.blocks.0.ffn.net.2.weight"
    assert not torch.equal(teacher[moved], base[f"ema/{moved[6:]}"])


def test_even_lengths_change_no_velocity():
    torch.manual_seed(0)
    model = tiny.build_dit(last_frame=False)
    for block in model.blocks:  # a made DiT's text has no effect until its projections have
        torch.nn.init.normal_(block.attn2.to_out[0].weight, std=0.5)
    fold_pads(model)
    text = [torch.randn(length, tiny.TEXT_WIDTH) for length in (5, 11)]
    image = torch.randn(2, 17, tiny.IMAGE_WIDTH)
    x, y, t = torch.randn(2, 16, 2, 8, 8), torch.randn(2, 20, 2, 8, 8), torch.tensor([0.3, 0.9])

    def velocity(states: list[torch.Tensor]) -> torch.Tensor:
        with torch.no_grad():
            return predict(model, x, t, DitInputs(y_BCFHW=y, text=states, image_BID=image))[0]

    plain, even = velocity(text), velocity(dit.even_lengths(text))
    assert [len(states) for states in dit.even_lengths(text)] == [32, 32]
    assert torch.allclose(plain, even, atol=1e-5)
    assert not torch.allclose(plain, velocity([states * 0 for states in text]), atol=1e-3)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.skipif(not torch.cpu._is_amx_tile_supported(), reason="needs a CPU with AMX")
def test_fast_steps_are_the_slow_ones_in_bfloat16(tmp_path, group):
    sizes = TinySizes(pixels=32, frames=9, z=8, stride=8, base=8)
    write_corpus(tmp_path / "corpus", CLIPS, 0, 1, "world2", sizes)
    save_file({f"ema/{k}": v for k, v in tiny.build_vae(sizes).state_dict().items()}, tmp_path / "vae.safetensors")
    latents.measure_stats(tmp_path, sizes, clips=CLIPS)
    latents.encode(0, 1, tmp_path, "base", CLIPS, sizes)
    losses = []
    for fast in (False, True):
        (tmp_path / "base.safetensors").unlink(missing_ok=True)
        dit.train(0, 1, tmp_path, "base", 3, 2, CLIPS, 1.0, sizes, fast)
        losses.append(float((tmp_path / "base.log").read_text().splitlines()[-1].split()[3]))
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


@pytest.mark.slow
def test_every_stage_takes_world_2_whose_base_rarely_sees_spatial_edits(tmp_path, group):
    sizes = TinySizes(pixels=32, frames=9, z=8, stride=8, base=8)
    write_corpus(tmp_path / "corpus", CLIPS, 0, 1, "world2", sizes)
    torch.manual_seed(0)
    save_file({f"ema/{k}": v for k, v in tiny.build_vae(sizes).state_dict().items()}, tmp_path / "vae.safetensors")
    latents.measure_stats(tmp_path, sizes, clips=CLIPS)
    texts = json.loads((tmp_path / "corpus/texts.json").read_text())
    likely = dit.chances(texts, "base")
    assert likely is not None and dit.chances(texts, "teacher") is None
    rare = np.array([row["task"] in SPATIAL for row in texts])
    assert likely[rare].max() == pytest.approx(dit.RARE * likely[~rare].min())
    for stage in ("base", "teacher"):
        latents.encode(0, 1, tmp_path, stage, CLIPS, sizes)
        assert [latents.load(tmp_path, part, CLIPS).shape[1] for part in latents.PARTS[stage]] == [3, 2]
        dit.train(0, 1, tmp_path, stage, 1, 2, CLIPS, 1.0, sizes)
    records = open_gate.records_of(1, sizes)
    results = {stage: open_gate.run(tmp_path, stage, records, sizes, steps=1) for stage in ("vae", "base", "teacher")}
    missed = open_gate.shortfalls(results["vae"], results["teacher"], results["base"], results["base"])
    assert any("VAE: last frame" in text for text in missed)
    assert [len(result.rulings) for result in results.values()] == [11] * 3


@pytest.mark.long
@pytest.mark.slow
def test_a_family_is_trained_on_from_another_ones_folder(tmp_path, group, random_family):
    sizes, folder = TinySizes(pixels=48, frames=9), random_family / "tiny-wan-i2v"
    write_corpus(tmp_path / "corpus", 130, 0, 1, "world2", sizes)  # of which the VAE holds 128 out
    for frozen in (True, False):
        (tmp_path / "latent-stats.json").unlink(missing_ok=True)
        start.take_vae(folder / "vae", tmp_path, frozen=frozen)
        assert (tmp_path / "latent-stats.json").exists() == frozen
    start.take_dit(folder, tmp_path, "base", sizes)
    taken = load_frozen(str(folder), torch.float32)
    theirs = {"vae": taken.vae.state_dict(), "base": load_dit(str(folder), torch.float32).state_dict()}
    for stage, part in (("vae", ""), ("base", "dit.")):
        ours = load_file(tmp_path / f"{stage}.safetensors")
        assert all(torch.equal(ours[f"model/{part}{name}"], value) for name, value in theirs[stage].items()), stage
    vae.train(0, 1, tmp_path, 1, 1, sizes, warmup=0)
    moved = load_file(tmp_path / "vae.safetensors")["model/decoder.conv_out.weight"]
    assert not torch.equal(moved, theirs["vae"]["decoder.conv_out.weight"])


def test_latents_that_change_weigh_more_block_by_block():
    regions = np.zeros((1, 8, 8), bool)
    regions[:, 3, 3] = True  # a pixel of the first block
    weights = dit.edit_weights(regions, 4, 3)
    assert weights.shape == (1, 1, 3, 2, 2)
    assert weights[0, 0, 0].tolist() == [[pytest.approx(0.3)] * 2] * 2
    assert weights[0, 0, 2].tolist() == [[1 + dit.EDIT_WEIGHT, 1], [1, 1]]


def test_latents_are_read_in_the_corpus_order_whoever_encoded_them(tmp_path):
    z = np.arange(7 * 2, dtype=np.float16).reshape(7, 2, 1, 1, 1)
    for rank in range(2):
        np.save(tmp_path / f"clip-{rank}-of-2.npy", z[rank::2])
    np.save(tmp_path / "clip-1-of-3.npy", z[1::3])  # of a run of three workers that was stopped
    assert np.array_equal(latents.load(tmp_path, "clip", 6), z[:6])
    with pytest.raises(ValueError, match="holds 7 latents of clip, expected 8"):
        latents.load(tmp_path, "clip", 8)


def test_the_linear_code_of_a_clip_is_that_of_its_blocks():
    sizes = TinySizes(pixels=16, frames=9, z=12, stride=8, base=8)
    x = torch.randn(6, 3, 9, 16, 16)
    pca = vae.BlockPca(x, sizes)
    code = pca(x)
    assert code.shape == (6, 12, 3, 2, 2)
    assert torch.allclose(code[:, :, 2], pca(torch.cat([x[:, :, :1], x[:, :, 5:]], 2))[:, :, 1], atol=1e-4)
    assert code.pow(2).mean().item() == pytest.approx(1, rel=0.2)


def test_muon_steps_the_hidden_matrices_alone():
    family = dit.Family(tiny.build_tokenizer(["a red circle"]), ["red"], last_frame=False)
    hidden = {id(p) for p in hidden_matrices(family)}
    names = {n for n, p in family.named_parameters() if id(p) in hidden}
    assert {"dit.blocks.5.attn2.add_k_proj.weight", "dit.blocks.0.ffn.net.0.proj.weight"} <= names
    outside = ("embed", "shared", "proj_out.", "patch", "condition", "relative", "head.")
    assert not [n for n in names if any(part in n for part in outside)]


class Blocks(nn.Module):
    """Four hidden matrices and two parameters that AdamW steps."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(32, 48) for _ in range(4))
        self.head = nn.Linear(32, 2)


def _step(rank: int, workers: int, folder: str) -> None:
    dist.init_process_group("gloo", rank=rank, world_size=workers, init_method=f"file://{folder}/of-{workers}")
    torch.manual_seed(0)
    module = Blocks()
    optimizer = MuonAdamW(module, muon_lr=1e-2, adamw_lr=1e-3)
    for _ in range(3):
        for p in module.parameters():
            p.grad = torch.randn_like(p)  # the same on every rank, as after the all-reduce
        optimizer.step(1.0)
    moments = optimizer.tensors()
    save_file(module.state_dict() | moments, f"{folder}/{rank}-of-{workers}.safetensors")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_step_as_one(tmp_path):
    for workers in (1, 2):
        ranks.run(_step, workers, workers, str(tmp_path))
    whole = load_file(tmp_path / "0-of-1.safetensors")
    for rank in (0, 1):
        shared = load_file(tmp_path / f"{rank}-of-2.safetensors")
        assert shared.keys() == whole.keys()
        assert all(torch.allclose(shared[k], whole[k], rtol=1e-6, atol=1e-7) for k in whole)


@pytest.mark.parametrize(
    ("clips", "latents", "named"), [(40, 24, "clips=40"), (300, 24, "latents=24"), (300, 400, "=400")]
)
def test_a_corpus_too_small_to_train_on_is_refused_by_name(tmp_path, clips, latents, named):
    with pytest.raises(ValueError, match=named):
        pretrain.run(PretrainOptions(work=str(tmp_path / "work"), clips=clips, latents=latents))
    assert not (tmp_path / "work").exists()


def test_a_corpus_is_refused_for_the_stages_that_are_asked_for_alone():
    pretrain.check(PretrainOptions(clips=8_000, until="vae"))
    pretrain.check(PretrainOptions(clips=40, latents=40, vae="v4e/assets/world2/tiny-wan-i2v/vae"))
    with pytest.raises(ValueError, match="latents=48000"):
        pretrain.check(PretrainOptions(clips=8_000))
