"""The editor equals the stock pipeline on the same noise, and says what is wrong with what it is given."""

import shutil

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, WanImageToVideoPipeline
from PIL import Image

from tests.support.loras import write_lora
from v4e.editing.editor import Edit, Editor
from v4e.editing.settings import EditSettings
from v4e.method import flow
from v4e.models.encoders import decode_clip, encode_images, encode_text, to_images, to_pixels

TEXTS = ["make the red circle blue", "remove the sign"]


class Euler(FlowMatchEulerDiscreteScheduler):
    """diffusers' Euler, told the sigmas 1, ..., 1 / steps that its Flux and LTX pipelines tell it; Wan's tells none."""

    def set_timesteps(self, num_inference_steps: int, device="cpu"):
        sigmas = np.linspace(1, 1 / num_inference_steps, num_inference_steps).tolist()
        super().set_timesteps(sigmas=sigmas, device=device)


def stock(folder) -> WanImageToVideoPipeline:
    """The pipeline of `folder`, and the folder itself, with other weights: Wan's output layers start at zero."""
    pipe = WanImageToVideoPipeline.from_pretrained(folder)
    torch.manual_seed(1)
    for p in pipe.transformer.parameters():
        torch.nn.init.normal_(p, std=0.05)
    pipe.transformer.save_pretrained(folder / "transformer")
    return pipe


@pytest.fixture(scope="module")
def random_family(random_family, tmp_path_factory):
    """A copy: what `stock` does to it is nobody else's."""
    return shutil.copytree(random_family, tmp_path_factory.mktemp("editor") / "family")


@pytest.fixture(scope="module")
def pipe(random_family):
    return stock(random_family / "tiny-wan-i2v")


@pytest.fixture(scope="module")
def lora(pipe, tmp_path_factory):
    return write_lora(pipe.transformer, tmp_path_factory.mktemp("lora") / "ink.safetensors", seed=3)


@pytest.fixture(scope="module")
def editor(pipe, random_family, lora):
    return Editor.load(str(random_family / "tiny-wan-i2v"), loras={"ink": lora})


@pytest.fixture(params=["euler", "unipc"])
def solver(request, pipe):
    """One of ours, and in `pipe` the scheduler that computes the same: for UniPC the one that it was loaded with."""
    loaded = pipe.scheduler
    if request.param == "euler":
        pipe.scheduler = Euler(shift=loaded.config.flow_shift)
    yield request.param
    pipe.scheduler = loaded


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


def stock_clip(pipe, image, text, seed, guidance, negative="", frames=5, **more) -> np.ndarray:
    """(P, h, w, 3) in [0, 1]."""
    noise = torch.randn((1, 16, 1 + (frames - 1) // 4, 8, 8), generator=torch.Generator().manual_seed(seed))
    return pipe(
        image=image,
        prompt=text,
        negative_prompt=negative,
        height=32,
        width=32,
        num_frames=frames,
        num_inference_steps=8,
        guidance_scale=guidance,
        latents=noise,
        output_type="np",
        **more,
    ).frames[0]


@torch.no_grad()
def our_clips(editor, images, texts, seeds, *, negatives=None, lora=None, last_images=None, **settings) -> np.ndarray:
    """(B, P, h, w, 3) in [0, 1], before they become 8 bits; checks that the edits are these pixels."""
    seen = []
    edits = editor.edit(
        images,
        texts,
        seeds,
        EditSettings(height=32, width=32, **settings),
        negatives=negatives,
        lora=lora,
        last_images=last_images,
        on_step=lambda _s, x: seen.append(x),
    )
    clips = (decode_clip(editor.decoder, seen[-1]).permute(0, 2, 3, 4, 1).numpy() + 1) / 2  # both end in x0_hat
    for edit, clip in zip(edits, clips, strict=True):
        assert edit.how == ()
        eight_bits = np.stack([np.asarray(frame) for frame in edit.clip]) / 255
        assert np.abs(eight_bits - clip).max() <= 0.5 / 255 + 1e-5
    return clips


@pytest.mark.slow
@pytest.mark.parametrize(
    ("guidance", "negative", "frames"), [(1.0, "", 5), (4.0, "", 5), (4.0, "blurred, grey", 5), (1.0, "", 9)]
)
def test_an_edit_is_the_stock_pipelines(pipe, editor, solver, guidance, negative, frames):
    image, seed = picture(1), 7
    expected = stock_clip(pipe, image, TEXTS[0], seed, guidance, negative, frames)
    settings = {"guidance": guidance, "frames": frames, "negatives": [negative] if negative else None, "solver": solver}
    [clip] = our_clips(editor, [image], TEXTS[:1], [seed], **settings)
    assert np.abs(clip - expected).max() <= 1e-5


def test_diffusers_euler_left_to_itself_takes_other_steps(pipe, editor):
    """Why `Euler` above is needed: from 1 it goes to sigma_min, shifted twice, where ours goes to 1 / steps."""
    loaded = pipe.scheduler
    pipe.scheduler = alone = FlowMatchEulerDiscreteScheduler(shift=loaded.config.flow_shift)
    try:
        other = stock_clip(pipe, picture(1), TEXTS[0], 7, 1.0)
    finally:
        pipe.scheduler = loaded
    [clip] = our_clips(editor, [picture(1)], TEXTS[:1], [7])
    assert np.abs(clip - other).max() > 1e-3
    assert float(alone.sigmas[-2]) < 0.01 < 0.2 < float(flow.times(8, loaded.config.flow_shift)[-2])


@pytest.mark.slow
def test_an_edit_with_a_lora_is_the_stock_pipelines_with_it(pipe, editor, solver, lora):
    def ours(**settings) -> np.ndarray:
        return our_clips(editor, [picture(1)], TEXTS[:1], [7], guidance=4.0, solver=solver, **settings)

    [before] = ours()
    pipe.load_lora_weights(lora)
    try:
        expected = stock_clip(pipe, picture(1), TEXTS[0], 7, 4.0)
    finally:
        pipe.unload_lora_weights()
    assert np.abs(expected - before).max() > 0.02  # it changes something
    assert np.abs(ours(lora="ink")[0] - expected).max() <= 1e-5
    assert np.array_equal(ours()[0], before)  # and is gone again


@pytest.mark.slow
def test_a_batch_is_the_stock_pipelines_edits(pipe, editor, solver):
    images = [picture(2), picture(3)]
    clips = our_clips(editor, images, TEXTS, [1, 2], guidance=3.0, solver=solver)
    for image, text, seed, clip in zip(images, TEXTS, [1, 2], clips, strict=True):
        assert np.abs(clip - stock_clip(pipe, image, text, seed, 3.0)).max() <= 1e-5


@pytest.mark.slow
def test_an_edit_towards_a_last_frame_is_the_stock_pipelines(random_family):
    folder, clips = random_family / "tiny-wan-flf2v", []
    pipe, editor = stock(folder), Editor.load(str(folder))
    for last in (picture(2), picture(3)):  # of the same source, whose encodings are at hand by then
        expected = stock_clip(pipe, picture(1), TEXTS[0], 7, 4.0, last_image=last)
        settings = {"guidance": 4.0, "last_images": [last], "solver": "unipc"}
        clips.append(our_clips(editor, [picture(1)], TEXTS[:1], [7], **settings)[0])
        assert np.abs(clips[-1] - expected).max() <= 1e-5
    assert np.abs(clips[0] - clips[1]).max() > 1e-4  # else either would have been the other's


def test_a_second_call_finds_its_encodings_and_makes_the_same_bytes(editor):
    def edit():
        return editor.edit([picture(8)], ["paint it black"], [5], EditSettings(height=32, width=32, steps=2))[0]

    first, misses, hits = edit(), editor.cache.misses, editor.cache.hits
    second = edit()
    assert editor.cache.misses == misses
    assert editor.cache.hits == hits + 3  # text, CLIP's states, the condition
    for one, other in zip(first.clip, second.clip, strict=True):
        assert one.tobytes() == other.tobytes()


def test_guidance_of_one_needs_no_second_pass(editor):
    calls = []
    handle = editor.dit.register_forward_hook(lambda *_: calls.append(1))
    try:
        for guidance, expected in ((1.0, 3), (2.0, 6)):
            calls.clear()
            settings = EditSettings(height=32, width=32, steps=3, guidance=guidance)
            editor.edit([picture(0)], TEXTS[:1], [0], settings)
            assert len(calls) == expected
    finally:
        handle.remove()


def test_a_batch_is_its_samples(editor):
    images = [picture(2), picture(3)]
    settings = EditSettings(height=32, width=32, steps=3)
    both = editor.edit(images, TEXTS, [1, 2], settings)
    for i in range(2):
        alone = editor.edit([images[i]], [TEXTS[i]], [i + 1], settings)[0]
        difference = np.asarray(alone.image).astype(int) - np.asarray(both[i].image)
        assert np.abs(difference).max() <= 1


def test_every_step_is_told_and_euler_is_the_default(editor):
    def predictions(**settings) -> torch.Tensor:
        """x0_hat of each step, (S, B, C, F, H, W)."""
        seen: dict[int, torch.Tensor] = {}
        given = EditSettings(height=32, width=32, steps=4, **settings)
        editor.edit([picture(4)], TEXTS[:1], [0], given, on_step=seen.__setitem__)
        assert list(seen) == [0, 1, 2, 3]
        return torch.stack(list(seen.values()))

    default = predictions()
    assert torch.equal(default, predictions(solver="euler"))
    assert (default - predictions(solver="unipc")).abs().max() > 1e-3


def test_stopping_early(editor):
    steps = []

    def stop(step, _x0_hat):
        steps.append(step)
        return step < 1

    edits = editor.edit([picture(5)], TEXTS[:1], [0], EditSettings(height=32, width=32), on_step=stop)
    assert steps == [0, 1]
    assert isinstance(edits[0], Edit)


def test_any_size_comes_back_as_it_was(editor):
    edit = editor.edit([picture(6, (50, 37))], TEXTS[:1], [0], EditSettings(height=32, width=32, steps=1))[0]
    assert edit.image.size == (50, 37)
    assert len(edit.clip) == 5


def test_counts_must_agree(editor):
    with pytest.raises(ValueError, match="1 images, 2 instructions, 1 seeds"):
        editor.edit([picture(0)], TEXTS, [0], EditSettings(height=32, width=32))


@pytest.mark.parametrize(
    ("settings", "more", "message"),
    [
        ({"height": 32, "width": 32, "frames": 6}, {}, "frames=6.*5, 9, 13.*set frames=5"),
        ({"height": 32, "width": 32, "steps": 0}, {}, "steps=0"),
        ({}, {}, "height and width, or max_pixels"),
        ({"height": 32, "width": 36}, {}, "36 x 32 pixels: expected multiples of 8"),
        ({"height": 32, "width": 528}, {}, "positions for 512 a side"),
        ({"height": 32, "width": 32}, {"negatives": ["a", "b"]}, "2 negatives of 1 images"),
        ({"height": 32, "width": 32}, {"lora": "oil"}, "lora 'oil' is unknown.*ink"),
    ],
)
def test_what_means_nothing_is_refused_before_any_work(editor, settings, more, message):
    misses = editor.cache.misses
    with pytest.raises(ValueError, match=message):
        editor.edit([picture(99)], TEXTS[:1], [0], EditSettings(**settings), **more)
    assert editor.cache.misses == misses


def test_max_pixels_decide_the_size_of_all_in_a_batch(editor):
    settings = EditSettings(max_pixels=600, steps=1)
    edits = editor.edit([picture(1, (70, 40)), picture(2, (35, 20))], TEXTS, [0, 1], settings)
    assert [edit.image.size for edit in edits] == [(70, 40), (35, 20)]
    assert {edit.clip[0].size for edit in edits} == {(32, 16)}
    with pytest.raises(ValueError, match="32 x 16, 16 x 32: edit them one by one"):
        editor.edit([picture(1, (70, 40)), picture(2, (40, 70))], TEXTS, [0, 1], settings)


def test_a_folder_without_a_pipeline_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no model_index.json"):
        Editor.load(str(tmp_path))


def test_pixels_round_trip():
    image = picture(7)
    assert (np.asarray(to_images(to_pixels([image], 32, 32))[0]) == np.asarray(image)).all()
