"""The latent frames between source and edit leave after some steps: by hand, in a plan's FLOPs, and in an edit."""

import copy
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from diffusers import UniPCMultistepScheduler, WanTransformer3DModel
from PIL import Image

from v4e.config import parse
from v4e.config.recipes import RECIPES
from v4e.editing.editor import Editor
from v4e.editing.inexact import Inexact
from v4e.editing.settings import EditSettings
from v4e.method import flow
from v4e.method.sampler import Held, ends, sample, start
from v4e.models.dit import DitInputs, predict
from v4e.models.positions import place_frames
from v4e.models.sizes import pipeline
from v4e.planning.work import Reads, sampling_flops
from v4e.weights.load import load_dit

SCHEDULER = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
STEPS, SEEDS = 4, [4, 5]


@pytest.fixture(scope="module")
def dit(random_family) -> WanTransformer3DModel:
    return load_dit(str(random_family / "tiny-wan-i2v"), torch.float32).eval()


def inputs(frames: int) -> DitInputs:
    drawn = torch.Generator().manual_seed(1)
    return DitInputs(
        y_BCFHW=torch.randn(2, 20, frames, 4, 4, generator=drawn),
        text=[torch.randn(length, 96, generator=drawn) for length in (3, 7)],
        image_BID=torch.randn(2, 17, 96, generator=drawn),
    )


@torch.no_grad()
def by_hand(
    dit: WanTransformer3DModel, given: DitInputs, middle_steps: int, places: tuple[int, ...], held: Held | None
) -> torch.Tensor:
    """Euler with one model that sees the whole clip, and another one whose two latent frames lie at its ends."""
    whole, short = place_frames(copy.deepcopy(dit), places), place_frames(copy.deepcopy(dit), (0, places[-1]))
    x = eps = start(given.y_BCFHW, SEEDS)
    for step, (t, t_next) in enumerate(pairwise(flow.times(STEPS, 3.0).tolist())):
        model, seen, last = (whole, given, held) if step < middle_steps else (short, cut(given), cut_held(held))
        if step == middle_steps:
            x, eps = ends(x), ends(eps)
        u, _ = predict(model, x, torch.full((2,), t), seen)
        if last is not None:
            u = torch.where(last.free_B11HW, u, eps - last.z_BCFHW)
        x = x + (t_next - t) * u
    return x


def cut(given: DitInputs) -> DitInputs:
    return replace(given, y_BCFHW=given.y_BCFHW[:, :, [0, -1]])


def cut_held(held: Held | None) -> Held | None:
    return held and replace(held, z_BCFHW=held.z_BCFHW[:, :, [0, -1]])


@pytest.mark.parametrize(
    ("middle_steps", "places", "holds"), [(1, (0, 1, 2), False), (3, (0, 2, 7), False), (1, (0, 2, 7), True)]
)
def test_two_frames_go_on_at_the_places_of_the_first_and_the_last(dit, middle_steps, places, holds):
    given, model = inputs(3), place_frames(copy.deepcopy(dit), places)
    held = Held(z_BCFHW=torch.ones(2, 16, 3, 4, 4), free_B11HW=torch.arange(4).expand(2, 1, 1, 4, 4) > 1)
    rest = {"shift": 3.0, "solver": "euler", "scheduler": SCHEDULER, "held": held if holds else None}
    z = sample(model, given, seeds=SEEDS, steps=STEPS, middle_steps=middle_steps, **rest)
    assert z.shape == (2, 16, 3, 4, 4)
    expected = by_hand(dit, given, middle_steps, places, held if holds else None)
    torch.testing.assert_close(z[:, :, :2], expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(z[:, :, 2], z[:, :, 1])
    assert not torch.allclose(
        z[:, :, :2], by_hand(dit, given, middle_steps, (0, 1, 1), held if holds else None), atol=1e-4
    )
    # Afterwards the model knows nothing of it.
    never = sample(model, given, seeds=SEEDS, steps=STEPS, **rest)
    assert torch.equal(never, sample(place_frames(copy.deepcopy(dit), places), given, seeds=SEEDS, steps=STEPS, **rest))


def test_both_passes_of_guidance_lose_the_middle(dit):
    given, empty = inputs(3), [torch.zeros(1, 96)] * 2
    rest = {"seeds": SEEDS, "steps": STEPS, "shift": 3.0, "solver": "euler", "scheduler": SCHEDULER, "middle_steps": 2}
    guided = sample(dit, given, **rest, guidance=3.0, empty=empty)
    plain, negative = sample(dit, given, **rest), sample(dit, replace(given, text=empty), **rest)
    assert guided.shape == plain.shape
    # Only the text differs, so a guidance of 1 is the plain edit and one of 0 the empty text's.
    torch.testing.assert_close(sample(dit, given, **rest, guidance=0.0, empty=empty), negative, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(guided, plain, atol=1e-4)


def test_at_14b_a_third_latent_frame_for_two_of_eight_steps_costs_a_seventh_more():
    model = pipeline(RECIPES["wan14b_720p"]().models.student, "models.student")
    tokens = 45 * 80  # of a latent frame at 1280 x 720

    def flops(frames: int, middle_steps: int) -> int:
        reads = Reads(clip=frames * tokens, text=31, image=model.image_tokens)
        return sampling_flops(model.dit, reads, frames=frames, steps=8, guidance=1, middle_steps=middle_steps)

    assert flops(3, 0) / flops(2, 0) == pytest.approx(1.64, abs=0.01)
    assert flops(3, 2) / flops(2, 0) == pytest.approx(1.16, abs=0.01)
    assert flops(2, 3) == flops(2, 0)


def test_a_run_without_frames_between_has_nothing_to_drop():
    with pytest.raises(ValueError, match=r"sample.middle_steps=2.*data.frames=5"):
        parse(["recipe=tiny", "sample.middle_steps=2"])
    assert parse(["recipe=tiny", "sample.middle_steps=2", "data.frames=9"]).sample.middle_steps == 2


def test_samplers_refuse_what_they_cannot_do(dit):
    with pytest.raises(ValueError, match="needs solver=euler"):
        sample(dit, inputs(3), seeds=SEEDS, steps=4, shift=3.0, solver="unipc", scheduler=SCHEDULER, middle_steps=2)


def test_an_edit_without_its_middle_ends_at_rest(random_family):
    editor = Editor.load(str(random_family / "tiny-wan-i2v"))
    settings = EditSettings(height=32, width=32, frames=9, steps=3, middle_steps=1)
    seen: list[int] = []
    [edit] = editor.edit(
        [Image.new("RGB", (32, 32), "red")], ["x"], [0], settings, on_step=lambda _, x: seen.append(x.shape[2])
    )
    assert seen == [3, 3, 3] and len(edit.clip) == 9


@pytest.mark.parametrize(
    ("settings", "options", "words"),
    [
        ({"middle_steps": 3}, {}, "middle_steps=3.*less than steps=3"),
        ({"middle_steps": -1}, {}, "middle_steps=-1"),
        ({"middle_steps": 1, "solver": "unipc"}, {}, "needs solver=euler"),
        ({"middle_steps": 1, "frames": 5}, {}, "frames=9 or more"),
        ({"middle_steps": 1}, {"step_cache": 0.1}, "step_cache"),
    ],
)
def test_what_cannot_lose_its_middle_is_refused(random_family, settings, options, words):
    editor = Editor.load(str(random_family / "tiny-wan-i2v"), options=Inexact(**options))
    with pytest.raises(ValueError, match=words):
        editor.edit(
            [Image.new("RGB", (32, 32))],
            ["x"],
            [0],
            EditSettings(**{"height": 32, "width": 32, "steps": 3, "frames": 9} | settings),
        )
