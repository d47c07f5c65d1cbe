"""Edits of benchmarks by our models and by others' pipeline classes, on Ray: layouts, manifest, what is made again."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    ChronoEditPipeline,
    ChronoEditTransformer3DModel,
    FlowMatchEulerDiscreteScheduler,
    FluxKontextPipeline,
    FluxTransformer2DModel,
    WanImageToVideoPipeline,
)
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from pipelines.parts.benchmark_edits import models
from pipelines.stages import benchmark
from tests.support.suites import arguments
from v4e.config import parse
from v4e.evaluation.suites import foreign
from v4e.evaluation.suites.generation import batches, size_for
from v4e.evaluation.suites.items import SuiteItem


@pytest.fixture(scope="module")
def foreigners(random_family, tmp_path_factory) -> Path:
    """chrono and kontext: the real classes of ChronoEdit and FLUX.1 Kontext with tiny random weights."""
    folder = tmp_path_factory.mktemp("foreign")
    torch.manual_seed(0)
    wan = WanImageToVideoPipeline.from_pretrained(random_family / "tiny-wan-i2v")
    settings = {k: v for k, v in wan.transformer.config.items() if not k.startswith("_") and k != "pos_embed_seq_len"}
    parts = ("tokenizer", "text_encoder", "vae", "scheduler", "image_encoder", "image_processor")
    ChronoEditPipeline(
        transformer=ChronoEditTransformer3DModel(**settings), **{name: getattr(wan, name) for name in parts}
    ).save_pretrained(folder / "chrono")
    words, sizes = len(wan.tokenizer), {"num_attention_heads": 2, "num_hidden_layers": 1}
    FluxKontextPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        tokenizer=wan.tokenizer,
        tokenizer_2=wan.tokenizer,
        text_encoder=CLIPTextModel(
            CLIPTextConfig(
                vocab_size=words,
                hidden_size=32,
                intermediate_size=32,
                max_position_embeddings=4096,
                eos_token_id=2,
                **sizes,
            )
        ),
        text_encoder_2=T5EncoderModel(
            T5Config(vocab_size=words, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
        ),
        transformer=FluxTransformer2DModel(
            in_channels=4,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            axes_dims_rope=(4, 4, 8),
            guidance_embeds=True,
        ),
        vae=AutoencoderKL(
            block_out_channels=(4,) * 6,
            down_block_types=("DownEncoderBlock2D",) * 6,
            up_block_types=("UpDecoderBlock2D",) * 6,
            latent_channels=1,
            norm_num_groups=1,
            use_quant_conv=False,
            use_post_quant_conv=False,
            shift_factor=0.0,
        ),
    ).save_pretrained(folder / "kontext")
    return folder


def edits(run: Path, suite: str) -> dict[str, bytes]:
    files = (run / "bench" / suite).rglob("*.png")
    return {
        str(p.relative_to(run)): p.read_bytes() for p in files if "SRCIMG" not in p.name and "sources" not in p.parts
    }


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), [("chrono", (32, 32)), ("kontext", (1024, 1024))])
def test_pipelines_of_others_edit_by_their_own_classes(foreigners, name, size):
    pipeline = foreign.load(str(foreigners / name), torch.float32, torch.device("cpu"))
    settings = foreign.arguments(pipeline, steps=1, guidance=2.0, width=32, height=32)
    assert settings["num_inference_steps"] == 1 and settings["guidance_scale"] == 2.0
    assert (settings.get("num_frames"), settings.get("width")) == ((5, 32) if name == "chrono" else (None, None))
    source = Image.effect_noise((64, 64), 50).convert("RGB")
    first, again, other = (foreign.edit(pipeline, source, "paint it blue", seed, settings) for seed in (1, 1, 2))
    assert first.size == size and first.tobytes() == again.tobytes() != other.tobytes()


def test_qwen_s_guidance_is_the_one_that_guides():
    class Qwen:
        def __call__(self, image, prompt, true_cfg_scale=4.0, guidance_scale=None, negative_prompt=None):
            raise NotImplementedError

    found = foreign.arguments(Qwen(), steps=0, guidance=3.0, width=32, height=32)
    assert found == {"true_cfg_scale": 3.0, "negative_prompt": " "}


@pytest.mark.long
@pytest.mark.ray
def test_edits_of_several_models_lie_in_the_official_layouts_and_only_what_is_missing_is_made(
    benchmarks, random_family, foreigners, cluster, tmp_path
):
    both = f"bench.models=native_i2v,chrono:{foreigners / 'chrono'}"
    args = [
        *arguments(benchmarks, tmp_path, "bench.stages=generate", "bench.suites=gedit,multiturn", both),
        *(f"models.student={random_family / 'tiny-wan-i2v'}", f"models.teacher={random_family / 'tiny-wan-flf2v'}"),
        *("bench.limit=1", "sample.steps=1", "bench.actors=1", "bench.batch=4"),
    ]
    benchmark.run(parse(args))
    first = edits(tmp_path, "gedit") | edits(tmp_path, "multiturn")
    assert len(first) == 2 * (11 + 3)  # models' groups, and turns of a chain
    theirs = first["bench/gedit/chrono/fullset/ps_human/en/ps_human-0.png"]
    assert theirs != first["bench/gedit/native_i2v/fullset/ps_human/en/ps_human-0.png"]
    turns = [first[f"bench/multiturn/native_i2v/content_memory/1/turn{k}.png"] for k in (1, 2, 3)]
    assert len(set(turns)) == 3
    kept = tmp_path / "bench/gedit/native_i2v/fullset/ps_human/en/ps_human-0.png"
    assert Image.open(kept).size == Image.open(kept.with_name("ps_human-0_SRCIMG.png")).size == (64, 64)
    manifest = json.loads((tmp_path / "bench/gedit/native_i2v/manifest.json").read_text())
    assert manifest["settings"]["sample.steps"] == 1 and manifest["settings"]["run.seed"] == 0
    assert len(manifest["weights"]) == 64
    at = kept.stat().st_mtime_ns
    (tmp_path / "bench/gedit/native_i2v/fullset/text_change/en/text_change-0.png").unlink()
    benchmark.run(parse(args))
    assert edits(tmp_path, "gedit") | edits(tmp_path, "multiturn") == first and kept.stat().st_mtime_ns == at


def test_edits_of_other_settings_are_removed_before_the_manifest_says_otherwise(
    benchmarks, random_family, tmp_path, monkeypatch
):
    class Killed(BaseException):
        pass

    def die():
        raise Killed

    monkeypatch.setattr("actors.batch.editors.connect", die)
    args = [
        *arguments(benchmarks, tmp_path, "bench.stages=generate", "bench.suites=gedit", "bench.models=native_i2v"),
        *(f"models.student={random_family / 'tiny-wan-i2v'}", f"models.teacher={random_family / 'tiny-wan-flf2v'}"),
    ]
    with pytest.raises(Killed):
        benchmark.run(parse(args))
    kept = tmp_path / "bench/gedit/native_i2v/fullset/ps_human/en/ps_human-0.png"
    Image.new("RGB", (8, 8)).save(kept)
    for more, there in (([], True), (["sample.steps=3"], False)):
        with pytest.raises(Killed):
            benchmark.run(parse([*args, *more]))
        assert kept.exists() == there


def test_edits_of_another_program_are_not_claimed(benchmarks, tmp_path, monkeypatch):
    folder = tmp_path / "bench/gedit/native_i2v/fullset/ps_human/en"
    folder.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / "ps_human-0.png")
    config = parse(
        arguments(benchmarks, tmp_path, "bench.stages=generate", "bench.models=native_i2v", "bench.suites=gedit")
    )
    with pytest.raises(ValueError, match=r"without a manifest\.json"):
        benchmark.run(config)


def test_models_are_named_or_refused(random_family, tmp_path):
    folder = random_family / "tiny-wan-i2v"
    config = parse([f"run.dir={tmp_path}", f"bench.models=native_i2v,mine:{folder}", f"models.student={folder}"])
    assert [(m.name, m.ours) for m in models(config)] == [("native_i2v", True), ("mine", True)]
    with pytest.raises(ValueError, match=r"ema is not there"):
        models(parse([f"run.dir={tmp_path}", "bench.models=ema"]))


def test_a_class_that_diffusers_has_not_or_that_takes_no_image_is_refused(tmp_path):
    for name, words in (("Step1XEditPipeline", "its own program"), ("WanPipeline", "no instruction editor")):
        (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": name, "_diffusers_version": "0"}))
        with pytest.raises(ValueError, match=words):
            foreign.load(str(tmp_path), torch.float32, torch.device("cpu"))


def test_sizes_keep_the_aspect_on_the_grid():
    assert size_for(512, 512, 480 * 832) == (624, 624) or size_for(512, 512, 480 * 832) == (640, 640)
    for width, height in ((1000, 500), (500, 1000), (33, 700), (512, 480)):
        tall, wide = size_for(width, height, 480 * 832)
        assert tall % 16 == wide % 16 == 0
        assert 0.8 < (wide / tall) / (width / height) < 1.25 and 0.8 < tall * wide / (480 * 832) < 1.25


def test_batches_are_cut_before_finished_edits_are_left_out(tmp_path):
    items = [
        SuiteItem(key=f"{n}", group="g", instruction=f"{n}", source="s", edited=str(tmp_path / f"{n % 5}.png"))
        for n in range(6)
    ]
    sizes = [(16, 16 if n % 2 else 32) for n in range(6)]
    cut = [[i.instruction for i in batch] for batch in batches(items, sizes, 2)]
    assert sorted(i for batch in cut for i in batch) == [
        "1",
        "2",
        "3",
        "4",
        "5",
    ]  # 5 shares its file with 0, and is the last
    (tmp_path / "1.png").touch()
    assert [
        [i.instruction for i in b] for b in batches(items, sizes, 2)
    ] == cut  # its companion keeps it in its forward
    for n in range(5):
        (tmp_path / f"{n}.png").touch()
    assert batches(items, sizes, 2) == []
