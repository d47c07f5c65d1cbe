"""The editor equals the stock pipeline on the same noise, and says what is wrong with what it is given."""

import numpy as np
import pytest
import torch
from diffusers import WanImageToVideoPipeline
from PIL import Image

from v4e import flow
from v4e.editor import Edit, Editor
from v4e.models.encoders import encode_images, encode_text, to_images, to_pixels

TEXTS = ["make the red circle blue", "remove the sign"]


@pytest.fixture(scope="module")
def pipe(random_family):
    pipe = WanImageToVideoPipeline.from_pretrained(random_family / "tiny-wan-i2v")
    torch.manual_seed(1)
    for p in pipe.transformer.parameters():
        torch.nn.init.normal_(p, std=0.05)
    pipe.transformer.save_pretrained(random_family / "tiny-wan-i2v" / "transformer")
    return pipe


@pytest.fixture(scope="module")
def editor(pipe, random_family):
    return Editor.load(str(random_family / "tiny-wan-i2v"))


def picture(seed: int, size=(32, 32)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


@torch.no_grad()
def test_encoders_are_the_stock_pipelines(pipe, editor):
    frozen = editor.frozen
    expected, _ = pipe.encode_prompt(TEXTS, do_classifier_free_guidance=False, device="cpu")
    for ours, row in zip(encode_text(frozen.text_encoder, frozen.tokenizer, TEXTS), expected, strict=True):
        torch.testing.assert_close(ours, row[: len(ours)], atol=1e-5, rtol=1e-5)
        assert row[len(ours) :].abs().sum() == 0
    image = picture(0)
    ours = encode_images(frozen.image_encoder, frozen.image_processor, [image])
    torch.testing.assert_close(ours, pipe.encode_image(image, "cpu"), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_an_edit_is_the_stock_pipelines_last_frame(pipe, editor, guidance):
    image, seed = picture(1), 7
    noise = torch.randn((1, 16, 2, 8, 8), generator=torch.Generator().manual_seed(seed))
    frames = pipe(
        image=image,
        prompt=TEXTS[0],
        negative_prompt="",
        height=32,
        width=32,
        num_frames=5,
        num_inference_steps=8,
        guidance_scale=guidance,
        latents=noise,
        output_type="np",
    ).frames[0]
    edit = editor.edit([image], [TEXTS[0]], height=32, width=32, seeds=[seed], guidance=guidance, solver="unipc")[0]
    ours = np.stack([np.asarray(f) for f in edit.clip]) / 255
    assert np.abs(ours - frames).max() <= 0.5 / 255 + 1e-5  # 8-bit rounding is all that differs


def test_a_batch_is_its_samples(editor):
    images = [picture(2), picture(3)]
    both = editor.edit(images, TEXTS, height=32, width=32, seeds=[1, 2], steps=3)
    for i in range(2):
        alone = editor.edit([images[i]], [TEXTS[i]], height=32, width=32, seeds=[i + 1], steps=3)[0]
        difference = np.asarray(alone.image).astype(int) - np.asarray(both[i].image)
        assert np.abs(difference).max() <= 1


def test_euler_is_a_plain_loop_and_previews_end_in_the_result(editor):
    seen: list[torch.Tensor] = []
    editor.edit([picture(4)], TEXTS[:1], height=32, width=32, seeds=[0], steps=4, on_step=lambda _s, x: seen.append(x))
    assert len(seen) == 4
    times = flow.times(4, editor.scheduler.config.flow_shift).tolist()
    x = torch.randn((1, 16, 2, 8, 8), generator=torch.Generator().manual_seed(0))
    for x0_hat, t, t_next in zip(seen, times, times[1:], strict=False):
        u = (x - x0_hat) / t
        x = x + (t_next - t) * u
    torch.testing.assert_close(x, seen[-1], atol=1e-5, rtol=1e-5)  # the last step goes all the way


def test_stopping_early(editor):
    steps = []

    def stop(step, _x0_hat):
        steps.append(step)
        return step < 1

    edits = editor.edit([picture(5)], TEXTS[:1], height=32, width=32, seeds=[0], steps=8, on_step=stop)
    assert steps == [0, 1]
    assert isinstance(edits[0], Edit)


def test_any_size_comes_back_as_it_was(editor):
    edit = editor.edit([picture(6, (50, 37))], TEXTS[:1], height=32, width=32, seeds=[0], steps=1)[0]
    assert edit.image.size == (50, 37)
    assert len(edit.clip) == 5


def test_counts_must_agree(editor):
    with pytest.raises(ValueError, match="1 images, 2 instructions, 1 seeds"):
        editor.edit([picture(0)], TEXTS, height=32, width=32, seeds=[0])


def test_a_folder_without_a_pipeline_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no model_index.json"):
        Editor.load(str(tmp_path))


def test_pixels_round_trip():
    image = picture(7)
    assert (np.asarray(to_images(to_pixels([image], 32, 32))[0]) == np.asarray(image)).all()
