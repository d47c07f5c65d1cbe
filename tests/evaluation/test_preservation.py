"""Preservation and reference metrics against formulas written out, and that what is absent is refused or left out."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.metrics import structural_similarity
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTextConfig,
    CLIPVisionConfig,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

from pipelines.stages import preservation as pipeline
from v4e.config import Bench, parse
from v4e.evaluation.metrics import pie, preservation, reference
from v4e.evaluation.metrics.bootstrap import difference, interval
from v4e.evaluation.suites.pairs import load_tools, read
from v4e.models.tiny import build_tokenizer

SIZE = 48


def images(seed: int, n: int = 2) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8) for _ in range(n)]


def box(*at: int) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), bool)
    mask[at[0] : at[1], at[2] : at[3]] = True
    return mask


# Outside the edit


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.integers(0, 40), st.integers(1, 8))
def test_outside_is_of_the_pixels_outside_alone(seed, top, height):
    source, edit = images(seed)
    mask = box(top, top + height, 3, 30)
    found = preservation.outside(source, edit, mask)
    wrong = [(int(source[y, x, c]) - int(edit[y, x, c])) ** 2 for y, x in np.argwhere(~mask) for c in range(3)]
    mse = sum(wrong) / len(wrong) / 255**2
    assert found and found["mse"] == pytest.approx(mse, rel=1e-4)
    assert found["psnr"] == pytest.approx(-10 * math.log10(mse), abs=1e-3)
    inside = np.where(mask[..., None], images(seed + 1)[0], edit)
    again = preservation.outside(source, inside, mask)
    assert again and again["mse"] == found["mse"]  # what the edit does inside does not matter


def test_an_untouched_rest_is_perfect_and_a_mask_over_all_has_no_outside():
    source, other = images(0)
    mask = box(0, 20, 0, 20)
    found = preservation.outside(source, np.where(mask[..., None], other, source), mask)
    assert found and found["psnr"] == 100.0 and found["mse"] == 0.0
    assert preservation.outside(source, source, mask) == {"psnr": 100.0, "mse": 0.0, "ssim": pytest.approx(1.0)}
    for rule in (preservation.outside, pie.background):
        assert rule(source, other, np.ones((SIZE, SIZE), bool)) is None


def test_ssim_is_scikit_image_s():
    source, edit = images(1)
    found = pie.background(source, edit, np.zeros((SIZE, SIZE), bool))
    theirs = structural_similarity(
        source, edit, channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert found and found["ssim"] == pytest.approx(theirs, abs=0.02)  # they leave out a border of 5 pixels


def test_pie_blackens_the_edit_and_averages_over_all():
    source, edit = images(2)
    mask = box(10, 30, 10, 30)
    found = pie.background(source, edit, mask, lambda a, b: ((a - b) ** 2).mean())
    a, b = (np.where(mask[..., None], 0, i).astype(float) / 255 for i in (source, edit))
    mse = ((a - b) ** 2).mean()
    assert found and found["mse"] == pytest.approx(mse, rel=1e-5)
    assert found["psnr"] == pytest.approx(-10 * math.log10(mse), abs=1e-4)
    assert found["lpips"] == pytest.approx(4 * mse, rel=1e-5)  # it sees images in [-1, 1]


def test_pie_s_run_lengths():
    mask = pie.pie_mask([9, 3, 20, 100], side=6)
    expected = {(y, x) for y in range(6) for x in range(6) if y in (0, 5) or x in (0, 5)}
    expected |= {divmod(at, 6) for at in (*range(9, 12), *range(20, 36))}
    assert {tuple(map(int, at)) for at in np.argwhere(mask)} == expected


@settings(deadline=None)
@given(st.integers(0, 255), st.integers(0, 255))
def test_derived_masks_are_where_the_truth_differs_and_a_little_more(a, b):
    source, truth = (np.full((100, 100, 3), v, np.uint8) for v in (a, a))
    truth[40:50, 40:50] = b
    exact = preservation.derived_mask(source, truth, dilate=0)
    assert exact.sum() == (100 if abs(a - b) > preservation.THRESHOLD else 0)
    grown = preservation.derived_mask(source, truth)
    assert grown.sum() == (140 if exact.any() else 0) and (grown | ~exact).all()  # a step to each of four sides


def test_blur_costs_sharpness():
    picture = Image.fromarray(images(3)[0])
    assert preservation.sharpness(np.asarray(picture)) > 4 * preservation.sharpness(
        np.asarray(picture.resize((12, 12)).resize((SIZE, SIZE)))
    )
    assert preservation.sharpness(np.full((9, 9, 3), 7, np.uint8)) == 0


# Reference metrics and encoders


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    """Folders of CLIP and of DINO's ViT with tiny random weights."""
    folder = tmp_path_factory.mktemp("encoders")
    torch.manual_seed(0)
    tokenizer = build_tokenizer(["a red star", "a blue star", "sky"])
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1}
    clip = CLIPConfig(
        text_config=CLIPTextConfig(
            vocab_size=len(tokenizer), eos_token_id=1, max_position_embeddings=64, **sizes
        ).to_dict(),
        vision_config=CLIPVisionConfig(image_size=32, patch_size=16, **sizes).to_dict(),
        projection_dim=16,
    )
    CLIPModel(clip).save_pretrained(folder / "clip")
    prepare = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    tokenizer.model_max_length = 64
    CLIPProcessor(prepare, tokenizer).save_pretrained(folder / "clip")
    ViTModel(ViTConfig(image_size=32, patch_size=16, **sizes)).save_pretrained(folder / "dino")
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder / "dino")
    return folder


def test_rules_of_magicbrush_and_emu_edit(encoders):
    found = reference.load_encoders(str(encoders / "clip"), str(encoders / "dino"))
    edit, truth = (Image.fromarray(i) for i in images(4))
    scores = reference.magicbrush(edit, truth, "a red star", found)
    a, b = (np.asarray(i).astype(float) / 255 for i in (edit, truth))
    assert scores["l1"] == pytest.approx(np.abs(a - b).mean()) and scores["l2"] == pytest.approx(((a - b) ** 2).mean())
    model = CLIPModel.from_pretrained(encoders / "clip")
    processor = CLIPProcessor.from_pretrained(encoders / "clip", use_fast=False)
    with torch.no_grad():
        whole = model(**processor(text=["a red star"], images=[edit, truth], return_tensors="pt", padding=True))
    assert scores["clip_i"] == pytest.approx(float(whole.image_embeds[0] @ whole.image_embeds[1]), abs=1e-5)
    assert scores["clip_t"] == pytest.approx(float(whole.image_embeds[0] @ whole.text_embeds[0]), abs=1e-5)
    assert set(scores) == {"l1", "l2", "clip_i", "clip_t", "dino"} and -1 <= scores["dino"] <= 1
    emu = reference.emu_edit(edit, truth, "a blue star", "a red star", found)
    assert set(emu) == {"l1", "clip_i", "dino", "clip_out", "clip_dir"} and emu["clip_out"] == scores["clip_t"]
    flipped = reference.emu_edit(truth, edit, "a red star", "a blue star", found)
    assert flipped["clip_dir"] == pytest.approx(emu["clip_dir"], abs=1e-6)  # both directions turn round
    same = reference.emu_edit(edit, edit, "", "", found)
    assert same == {"l1": 0.0, "clip_i": pytest.approx(1.0), "dino": pytest.approx(1.0)}
    assert set(reference.magicbrush(edit.resize((20, 30)), truth, "", reference.Encoders())) == {"l1", "l2"}


def keys_of_last_block(folder: Path, image: np.ndarray) -> np.ndarray:
    """(N, D) by the weights themselves, from the hidden states that enter the block."""
    vit = ViTModel.from_pretrained(folder).eval()
    pixels = torch.from_numpy(image.astype(np.float32).transpose(2, 0, 1))[None]  # 0 to 255, as officially
    pixels = torch.nn.functional.interpolate(pixels, (224, 224), mode="bilinear")
    pixels = (pixels - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(
        3, 1, 1
    )
    with torch.no_grad():
        hidden = vit(pixels, interpolate_pos_encoding=True, output_hidden_states=True).hidden_states[-2]
        block = vit.layers[-1]
        entering = block.layernorm_before(hidden)[0].numpy()
    return entering @ block.attention.k_proj.weight.detach().numpy().T + block.attention.k_proj.bias.detach().numpy()


def test_structure_distance_is_of_the_cosines_between_the_last_block_s_keys(encoders):
    source, edit = images(6)
    similar = []
    for image in (source, edit):
        keys = keys_of_last_block(encoders / "dino", image).astype(np.float64)
        norms = np.sqrt((keys**2).sum(1))
        similar.append(keys @ keys.T / norms[:, None] / norms[None])
    structure = pie.load_structure(str(encoders / "dino"))
    assert structure(source).shape == (14 * 14 + 1,) * 2
    found = pie.structure_distance(source, edit, structure)
    assert found == pytest.approx(((similar[0] - similar[1]) ** 2).mean(), rel=1e-3) and found > 1e-5
    assert pie.structure_distance(source, source, structure) == 0


def test_pie_s_clip_similarity_is_a_hundred_cosines(encoders):
    folder, (source, edit), mask = encoders / "clip", images(7), box(10, 30, 10, 40)

    model, processor = CLIPModel.from_pretrained(folder), CLIPProcessor.from_pretrained(folder, use_fast=False)
    tools = reference.load_encoders(str(folder))
    found = pie.clip_similarity(source, edit, mask, "a red star", "a blue star", tools)
    asked = {
        "clip_source": (source, "a red star"),
        "clip_target": (edit, "a blue star"),
        "clip_target_part": (edit * mask[..., None], "a blue star"),
    }
    for name, (image, caption) in asked.items():
        cosine = model(
            **processor(text=[caption], images=[Image.fromarray(image)], return_tensors="pt", padding=True)
        ).logits_per_image.item() / math.exp(model.logit_scale.item())
        assert found[name] == pytest.approx(max(0, 100 * cosine), abs=1e-3)
    assert set(found) == set(asked) and found["clip_target"] != found["clip_target_part"]
    assert pie.clip_similarity(source, edit, mask, "", "", reference.Encoders()) == {}


def test_what_is_absent_is_refused(tmp_path):
    for key in ("pie_clip", "pie_dino", "lpips"):
        with pytest.raises(FileNotFoundError, match=rf"bench\.{key}="):
            load_tools(Bench(**{key: str(tmp_path)}))
    for key in ("clip", "dino"):
        with pytest.raises(FileNotFoundError, match=rf"bench\.{key}="):
            reference.load_encoders(**{key: str(tmp_path)})
    with pytest.raises(FileNotFoundError, match=r"squeezenet1_1-b8a52dc0\.pth"):
        preservation.load_lpips(str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"bench\.pairs"):
        pipeline.run(parse([f"run.dir={tmp_path}"]))


def test_lpips_refuses_weights_that_are_code(tmp_path):
    pytest.importorskip("torchvision")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / preservation.BACKBONES["squeeze"]).write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(Exception, match=r"(?i)weights|hash|pickle"):
        preservation.load_lpips(str(tmp_path))


# Pairs


def test_pairs_of_a_file_are_measured_and_a_bad_one_is_recorded(tmp_path):
    source, edit = images(5)
    for name, image in (("s", source), ("e", edit), ("m", np.uint8(box(0, 9, 0, 9)[..., None] * [255, 255, 255]))):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    lines = [
        {"id": "a", "source": "s.png", "edit": "e.png", "mask": "m.png"},
        {"source": "s.png", "edit": "s.png", "truth": "e.png"},
        {"source": "s.png", "edit": "bad.png"},
    ]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    pipeline.run(parse([f"run.dir={tmp_path}", f"bench.pairs={tmp_path / 'pairs.jsonl'}"]))
    rows = [json.loads(line) for line in (tmp_path / "bench" / "preservation.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == ["a", "2", "3"] and "bad.png" in rows[2]["reason"]
    expected = preservation.outside(source, edit, box(0, 9, 0, 9))
    assert expected and rows[0]["figures"]["outside.psnr"] == pytest.approx(expected["psnr"])
    table = json.loads((tmp_path / "bench" / "preservation.json").read_text())
    assert (table["sharpness.edit"]["n_scored"], table["magicbrush.l1"]["n_scored"]) == (2, 1)
    assert all(figures["n_total"] == 3 for figures in table.values())


def test_pie_bench_s_mapping_file(tmp_path):
    mapping = {"0": {"image_path": "0/a.jpg", "original_prompt": "a [cat] sits", "editing_prompt": "a [dog] sits"}}
    mapping["0"] |= {"mask": [5, 7], "editing_type_id": "1"}  # type: ignore[typeddict-item]
    (tmp_path / "mapping_file.json").write_text(json.dumps(mapping))
    [pair] = read(str(tmp_path / "mapping_file.json"), "edits")
    assert (pair.source, pair.edit) == (str(tmp_path / "annotation_images/0/a.jpg"), "edits/0/a.jpg")
    assert (pair.source_caption, pair.target_caption, pair.pie_mask) == ("a cat sits", "a dog sits", (5, 7))


@pytest.mark.slow
def test_pie_bench_from_the_command_line(tmp_path, encoders):
    """Sources, edits, weights: every one of its figures; without the weights those that need none."""
    source, edit = images(8)
    for folder, image in ((tmp_path / "annotation_images", source), (tmp_path / "edits", edit)):
        folder.mkdir()
        Image.fromarray(image).resize((512, 512)).save(folder / "a.png")
    row = {"image_path": "a.png", "original_prompt": "a [red] star", "editing_prompt": "a [blue] star"}
    row |= {"mask": [20 * 512, 512 * 100], "editing_type_id": "6"}  # type: ignore[dict-item]
    (tmp_path / "mapping_file.json").write_text(json.dumps({"0": row}))
    args = [f"run.dir={tmp_path}", f"bench.pairs={tmp_path / 'mapping_file.json'}", f"bench.edits={tmp_path / 'edits'}"]
    weights = [f"bench.pie_clip={encoders / 'clip'}", f"bench.pie_dino={encoders / 'dino'}"]
    free = {"pie.psnr", "pie.mse", "pie.ssim", "emu_edit.l1", "sharpness.source", "sharpness.edit"}
    heavy = {"pie.structure_distance", "pie.clip_source", "pie.clip_target", "pie.clip_target_part"}
    for more, names in (([], free), (weights, free | heavy)):
        pipeline.run(parse([*args, *more]))
        found = json.loads((tmp_path / "bench" / "preservation.json").read_text())
        assert set(found) == names and all(f["n_scored"] == f["n_total"] == 1 for f in found.values())


# Intervals


def test_intervals_cover_the_mean_and_are_those_of_a_direct_simulation():
    rng = np.random.default_rng(0)
    groups = [rng.normal(m, 1, 60).tolist() for m in (1, 5)]
    low, high = interval(groups, 4000)
    error = math.sqrt(sum(np.var(g) / len(g) for g in groups)) / 2
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.08)
    assert (low + high) / 2 == pytest.approx(np.mean([np.mean(g) for g in groups]), abs=0.02)
    assert interval(groups, 500) == interval(groups, 500)
    assert interval([[3.0, 3.0], [5.0]], 10) == (4.0, 4.0)
    with pytest.raises(ValueError, match="without scores"):
        interval([[1.0], []], 10)
    mean, low, high = difference([[(a, a + 1) for a in g] for g in groups], 500)
    assert (mean, low, high) == (pytest.approx(1), pytest.approx(1), pytest.approx(1))  # paired: no spread of the items
