"""Exports: diffusers loads them unchanged, they make the student's pixels, and they take one file's memory."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as dcp
from accelerate import init_empty_weights
from diffusers import WanImageToVideoPipeline, WanTransformer3DModel
from PIL import Image

from pipelines.stages import export
from tests.support.student import make_batch
from tests.support.synthetic import config
from v4e.config import Config
from v4e.config import Export as ExportConfig
from v4e.editing.editor import Editor
from v4e.editing.settings import EditSettings
from v4e.files import journal
from v4e.training import checkpoint
from v4e.training.checks import check_run
from v4e.training.resume import remember
from v4e.training.student import StudentTrainer
from v4e.weights.export import export_pipeline
from v4e.weights.load import load_dit

ROOT = Path(__file__).parent.parent.parent
LORA = {"lora": {"rank": 4, "alpha": 8, "targets": ("to_q", "to_k", "to_v", "ffn.net.2")}}
IDS = ["s000", "s001"]


def trained(folder: Path, family: Path, steps: int = 2, **sections: dict[str, object]) -> tuple[Config, StudentTrainer]:
    """A run of a few steps in `folder`, far enough from its base for other pixels, with all that a run leaves."""
    models = {"student": str(family / "tiny-wan-i2v"), "teacher": str(family / "tiny-wan-flf2v")}
    optim = {"steps": 6, "batch": 2, "accumulate": 1, "lr": 0.02, "ema": 0.5}
    settings = config(**{"models": models, "run": {"dir": str(folder)}, "optim": optim} | sections)
    dit = load_dit(settings.models.student, torch.float32)
    trainer = StudentTrainer(settings, dit, device=torch.device("cpu"))
    folder.mkdir(exist_ok=True)
    remember(settings, IDS)
    for step in range(1, steps + 1):
        journal.append(folder / "metrics.jsonl", {"step": step, **trainer.step([make_batch(step, 0)])})
        checkpoint.save(folder / "checkpoints", step, trainer.state_dict(), keep=2)
    return settings, trainer


@pytest.fixture(scope="module")
def full(tmp_path_factory, random_family):
    """A run of all weights, exported in files of 1 MB."""
    settings, trainer = trained(tmp_path_factory.mktemp("full"), random_family)
    settings = replace(settings, export=ExportConfig(shard_mb=1))
    for _ in range(2):  # the second replaces the first
        export.run(settings)
    return settings, trainer


@pytest.fixture(scope="module")
def lora(tmp_path_factory, random_family):
    """A run of adapters, exported."""
    settings, trainer = trained(tmp_path_factory.mktemp("lora"), random_family, **LORA)
    export.run(settings)
    return settings, trainer


def exported(settings: Config, name: str) -> Path:
    return Path(settings.run.dir) / "export" / name


def source() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))


def stock_clip(pipe: WanImageToVideoPipeline) -> np.ndarray:
    """The pipeline's own clip in [0, 1]."""
    noise = torch.randn((1, 16, 2, 8, 8), generator=torch.Generator().manual_seed(0))
    out = pipe(
        image=source(),
        prompt="make the red circle blue",
        height=32,
        width=32,
        num_frames=5,
        num_inference_steps=4,
        guidance_scale=1.0,
        latents=noise,
        output_type="np",
    )
    return out.frames[0]


def edited_clip(editor: Editor) -> np.ndarray:
    settings = EditSettings(height=32, width=32, steps=4, solver="unipc")
    edits = editor.edit([source()], ["make the red circle blue"], [0], settings)
    return np.stack([np.asarray(frame) for frame in edits[0].clip]) / 255


@pytest.mark.slow
def test_diffusers_loads_what_was_trained(full, random_family):
    settings, trainer = full
    stock = WanImageToVideoPipeline.from_pretrained(random_family / "tiny-wan-i2v")
    for name, expected in (("student", dict(trainer.dit.named_parameters())), ("ema", trainer.ema.shadow)):
        files = sorted(path.name for path in exported(settings, name).glob("transformer/*.safetensors"))
        assert len(files) > 5
        assert files[0] == f"diffusion_pytorch_model-00001-of-{len(files):05d}.safetensors"
        pipe = WanImageToVideoPipeline.from_pretrained(exported(settings, name))
        found = dict(pipe.transformer.named_parameters())
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in found)
        for part in ("vae", "text_encoder", "image_encoder"):
            ours, theirs = getattr(pipe, part).state_dict(), getattr(stock, part).state_dict()
            assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
        assert pipe.tokenizer("a blue circle").input_ids == stock.tokenizer("a blue circle").input_ids


@pytest.mark.slow
def test_an_export_makes_the_students_pixels(full, random_family):
    settings, trainer = full
    editor = Editor.load(str(random_family / "tiny-wan-i2v"))
    before = edited_clip(editor)
    editor.dit.load_state_dict(trainer.ema.shadow)
    students, folder = edited_clip(editor), exported(settings, "ema")
    assert (edited_clip(Editor.load(str(folder))) == students).all()
    assert np.abs(students - before).max() > 0.05
    assert np.abs(stock_clip(WanImageToVideoPipeline.from_pretrained(folder)) - students).max() <= 0.5 / 255 + 1e-5


@pytest.mark.slow
def test_an_export_is_a_student_to_start_from(full, tmp_path):
    settings, trainer = full
    again = replace(settings, models=replace(settings.models, student=str(exported(settings, "ema"))))
    check_run(again)
    dit = load_dit(again.models.student, torch.float32)
    assert all(torch.equal(p, trainer.ema.shadow[name]) for name, p in dit.named_parameters())
    start = StudentTrainer(again, dit, device=torch.device("cpu"))
    checkpoint.save(tmp_path / "checkpoints", 1, start.state_dict(), keep=1)
    export.run(replace(again, run=replace(again.run, dir=str(tmp_path))))
    back = load_dit(str(tmp_path / "export" / "student"), torch.float32)
    assert all(torch.equal(p, trainer.ema.shadow[name]) for name, p in back.named_parameters())


@pytest.mark.slow
def test_a_lora_file_makes_the_pixels_of_its_merged_folder(lora, random_family):
    settings, trainer = lora
    editor = Editor(**vars(Editor.load(str(random_family / "tiny-wan-i2v"))) | {"dit": trainer.dit.eval()})
    for name in ("student", "ema"):
        merged = stock_clip(WanImageToVideoPipeline.from_pretrained(exported(settings, name)))
        pipe = WanImageToVideoPipeline.from_pretrained(random_family / "tiny-wan-i2v")
        base = stock_clip(pipe)
        pipe.load_lora_weights(exported(settings, f"{name}-lora"))
        loaded = stock_clip(pipe)
        assert np.abs(loaded - base).max() > 0.05
        assert np.abs(loaded - merged).max() < 1e-3
        if name == "student":
            assert np.abs(edited_clip(editor) - merged).max() <= 0.5 / 255 + 1e-3


@pytest.mark.slow
def test_modules_that_diffusers_keeps_in_float32_stay_so(full, lora):
    for settings, _ in (full, lora):
        out = Path(settings.run.dir, "export", "ema")
        exact = load_dit(str(out), torch.float32).state_dict()
        export.run(replace(settings, export=ExportConfig(dtype="bfloat16", weights="ema", shard_mb=1)))
        ours = WanTransformer3DModel.from_pretrained(out, subfolder="transformer", torch_dtype=torch.bfloat16)
        found = dict(ours.named_parameters())
        assert torch.equal(found["blocks.0.scale_shift_table"], exact["blocks.0.scale_shift_table"])
        assert torch.equal(found["blocks.0.attn1.to_q.weight"], exact["blocks.0.attn1.to_q.weight"].bfloat16())
        export.run(settings)


@pytest.mark.slow
def test_the_card_says_where_the_weights_come_from(full, lora):
    for (settings, _), name in ((full, "ema"), (lora, "student"), (lora, "student-lora")):
        text = (exported(settings, name) / "README.md").read_text()
        remembered = json.loads(Path(settings.run.dir, "training.json").read_text())
        records = journal.read(Path(settings.run.dir, "metrics.jsonl"))
        assert "tiny-wan-i2v" in text and "2 of 6" in text and "optim.lr=0.02" in text
        assert remembered["the samples of data.train"] in text
        assert f"{sum(r['loss'] for r in records) / 2:.4f}" in text
        assert ("rank 4" in text) == (settings is lora[0]) and ("load_lora_weights" in text) == name.endswith("-lora")
        assert str(Path(settings.run.dir).parent) not in text and str(Path(settings.models.student).parent) not in text


def test_one_step_and_one_part_by_choice(full, tmp_path):
    settings, _ = full
    out = tmp_path / "run"
    shutil.copytree(settings.run.dir, out, ignore=shutil.ignore_patterns("export"))
    moved = replace(settings, run=replace(settings.run, dir=str(out)))
    export.run(replace(moved, export=ExportConfig(step=1, weights="model")))
    assert [path.name for path in (out / "export").iterdir()] == ["student"]
    assert "1 of 6" in (out / "export" / "student" / "README.md").read_text()
    first = load_dit(str(out / "export" / "student"), torch.float32).state_dict()
    second = load_dit(str(exported(settings, "student")), torch.float32).state_dict()
    assert not torch.equal(first["proj_out.weight"], second["proj_out.weight"])


def test_what_cannot_be_exported_is_refused(full, lora, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"train\.py"):
        export.run(replace(full[0], run=replace(full[0].run, dir=str(tmp_path))))
    with pytest.raises(FileNotFoundError, match=r"export\.step=9.* which has 1, 2"):
        export.run(replace(full[0], export=ExportConfig(step=9)))
    with pytest.raises(ValueError, match=r"trained with lora\.alpha=8"):
        export.run(replace(lora[0], lora=replace(lora[0].lora, alpha=0)))
    for made in (full, lora):
        alone = tmp_path / "alone"  # without what the run remembered
        shutil.copytree(Path(made[0].run.dir, "checkpoints"), alone / "checkpoints")
        other = replace(made[0], run=replace(made[0].run, dir=str(alone)), lora=replace(made[0].lora, rank=3))
        with pytest.raises(ValueError, match=r"lora\.rank=3"):
            export.run(other)
        teachers = replace(other, lora=made[0].lora, models=replace(other.models, student=other.models.teacher))
        if made is full:
            with pytest.raises(ValueError, match=r"models\.student"):
                export.run(teachers)
        assert not (alone / "export" / "ema").exists()
        shutil.rmtree(alone)


@pytest.mark.slow
def test_an_export_to_another_filesystem_has_the_same_files(full, tmp_path):
    settings, _ = full
    path = str(checkpoint.path_of(Path(settings.run.dir, "checkpoints"), 2))
    remote = fsspec.filesystem("memory")
    remote.pipe("/bucket/there/left-over", b"of an earlier export")
    for out in (str(tmp_path / "here"), "memory://bucket/there"):
        export_pipeline(
            path,
            settings.models.student,
            out,
            weights="ema",
            dtype=torch.float32,
            shard_bytes=10**6,
            lora=settings.lora,
            card="card",
        )
    files = [file for file in (tmp_path / "here").rglob("*") if file.is_file()]
    here = {str(file.relative_to(tmp_path / "here")): file.read_bytes() for file in files}
    there = {name.removeprefix("/bucket/there/"): remote.cat(name) for name in remote.find("/bucket/there")}
    remote.rm("/bucket", recursive=True)
    assert there == here and "model_index.json" in here
    assert [file.name for file in tmp_path.iterdir()] == ["here"]


MEASURE = """
import sys
import torch
from v4e.config import Lora
from v4e.weights.export import export_pipeline

def peak():
    return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))

torch.set_num_threads(1)
before = peak()
export_pipeline(sys.argv[1], sys.argv[2], sys.argv[3], weights="ema", dtype=torch.float32,
                shard_bytes=64 * 10**6, lora=Lora(), card="")
print(before, peak())
"""


@pytest.mark.long
@pytest.mark.slow
def test_memory_does_not_grow_with_the_model(tmp_path, random_family):
    """VmHWM, since ru_maxrss of a child begins at its parent's."""
    peaks = {}
    for blocks in (6, 24):
        base = tmp_path / f"base{blocks}"
        shutil.copytree(random_family / "tiny-wan-i2v", base, ignore=shutil.ignore_patterns("*.safetensors"))
        path = base / "transformer" / "config.json"
        settings = json.loads(path.read_text())
        settings |= {"num_attention_heads": 8, "attention_head_dim": 96, "ffn_dim": 3072, "num_layers": blocks}
        settings |= {"added_kv_proj_dim": 768}
        path.write_text(json.dumps(settings))
        with init_empty_weights():
            shapes = WanTransformer3DModel.from_config(settings).state_dict()
        weights = {name: torch.ones(like.shape) for name, like in shapes.items()}
        size = sum(tensor.nbytes for tensor in weights.values()) / 2**20
        dcp.save({"ema": weights}, checkpoint_id=tmp_path / f"step-{blocks:06d}", no_dist=True)
        del weights
        arguments = [str(tmp_path / f"step-{blocks:06d}"), str(base), str(tmp_path / f"out{blocks}")]
        child = subprocess.run(
            [sys.executable, "-c", MEASURE, *arguments], capture_output=True, text=True, cwd=ROOT, check=True
        )
        start, peak = map(float, child.stdout.split())
        written = sum(f.stat().st_size for f in (tmp_path / f"out{blocks}" / "transformer").glob("*.safetensors"))
        assert written > size * 2**20
        peaks[size] = peak - start
        print(f"{size:.0f} MiB of weights: {start:.0f} MiB before, {peak:.0f} MiB at most")
    (small, low), (large, high) = peaks.items()
    assert large - small > 500
    assert high - low < 3 * 64
    assert high < 5 * 64
