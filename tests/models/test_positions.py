"""Latent frames at other places in time: the formula of rotary embeddings, diffusers' ChronoEdit class, an export."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import ChronoEditTransformer3DModel, WanImageToVideoPipeline, WanTransformer3DModel
from PIL import Image

from pipelines.stages import export
from tests.support.student import CPU
from tests.support.synthetic import config
from v4e.config import parse
from v4e.editing.editor import Editor
from v4e.editing.settings import EditSettings
from v4e.models import tiny
from v4e.models.positions import place_frames
from v4e.training import checkpoint
from v4e.training.student import StudentTrainer
from v4e.weights.load import load_dit, load_student

FOLDER = str(Path(tiny.__file__).parents[1] / "assets/tiny-wan-i2v")


def angles(of_frames: list[int], height: int, width: int, head: int) -> np.ndarray:
    """The angle of each pair of a head's numbers, (N, head / 2): places times 10000^(-2 i / d) of each axis' d."""
    side = 2 * (head // 6)
    rows = []
    for frame in of_frames:
        for y in range(height):
            for x in range(width):
                axes = ((frame, head - 2 * side), (y, side), (x, side))
                rows.append(np.concatenate([place * 10000.0 ** (-np.arange(0, d, 2) / d) for place, d in axes]))
    return np.stack(rows)


@pytest.mark.parametrize("places", [(0, 7), (0, 1), (0, 3, 20)])
def test_tokens_turn_by_the_places_of_their_frames(places):
    dit = place_frames(tiny.build_dit(), places)
    cos, sin = dit.rope(torch.zeros(1, 36, len(places), 4, 6))
    expected = angles(list(places), 2, 3, 40).repeat(2, axis=1)  # each angle serves a pair
    assert cos.shape == (1, len(places) * 6, 1, 40)
    np.testing.assert_allclose(cos[0, :, 0], np.cos(expected), atol=1e-6)
    np.testing.assert_allclose(sin[0, :, 0], np.sin(expected), atol=1e-6)


def test_clips_of_other_lengths_and_places_as_usual_are_unchanged_to_the_bit():
    plain, placed, usual = tiny.build_dit(), place_frames(tiny.build_dit(), (0, 7)), tiny.build_dit()
    place_frames(usual, (0, 1))
    for frames in (1, 2, 3, 5):
        clip = torch.zeros(1, 36, frames, 4, 4)
        stock = plain.rope(clip)
        assert all(map(torch.equal, usual.rope(clip), stock))
        assert all(map(torch.equal, placed.rope(clip), stock)) == (frames != 2)


def test_what_has_no_such_places_is_refused_in_one_line():
    for given in ("0,7,9", "1,7", "0,0", "5"):
        with pytest.raises(ValueError, match=r"models.positions=.*: expected two places, the first 0"):
            parse([f"models.positions={given}"])
    with pytest.raises(ValueError, match=r"data.frames=9 has 3: set data.frames=5"):
        parse(["models.positions=0,7", "data.frames=9"])
    with pytest.raises(ValueError, match=r"positions 0 to 63"):
        place_frames(tiny.build_dit(), (0, 64))


# diffusers' ChronoEdit class cuts a head into thirds, which agrees with Wan's own cut for 48 and 128 numbers


@pytest.fixture(scope="module")
def family(tmp_path_factory) -> Path:
    """The random family with heads of 48 numbers."""
    folder = tmp_path_factory.mktemp("heads-of-48")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tiny.DIT, "attention_head_dim", 48)
        patch.setitem(tiny.DIT, "added_kv_proj_dim", 192)
        tiny.save_random(folder)
    return folder


def clip_of(pipe: WanImageToVideoPipeline, source: Image.Image) -> np.ndarray:
    """The pipeline's own clip in [0, 1]."""
    noise = torch.randn((1, 16, 2, 8, 8), generator=torch.Generator().manual_seed(0))
    how = {"num_frames": 5, "num_inference_steps": 3, "guidance_scale": 1.0, "output_type": "np"}
    return pipe(image=source, prompt="make it blue", height=32, width=32, latents=noise, **how).frames[0]


@pytest.mark.slow
def test_an_export_is_loaded_by_diffusers_and_by_the_editor_with_its_places(family, tmp_path):
    """The stock pipeline's clip is the editor's, and not that of places 0 and 1."""
    models = {"student": str(family / "tiny-wan-i2v"), "teacher": str(family / "tiny-wan-flf2v"), "positions": (0, 7)}
    run = config(models=models, run={"dir": str(tmp_path)})
    trainer = StudentTrainer(run, load_student(run, CPU, None), device=CPU)
    torch.manual_seed(0)
    for matrix in (p for p in trainer.parameters if p.ndim > 1):  # else attention would look everywhere alike
        torch.nn.init.normal_(matrix, std=0.1)
    checkpoint.save(str(tmp_path / "checkpoints"), 1, trainer.state_dict(), keep=1)
    export.run(run)
    folder = tmp_path / "export" / "student"
    assert json.loads((folder / "transformer" / "config.json").read_text())["rope_temporal_skip_len"] == 8
    assert "ChronoEditTransformer3DModel" in (folder / "README.md").read_text()

    source = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    settings = EditSettings(height=32, width=32, steps=3, solver="unipc")

    def edited(editor: Editor) -> np.ndarray:
        [edit] = editor.edit([source], ["make it blue"], [0], settings)
        return np.stack([np.asarray(frame) for frame in edit.clip]) / 255

    pipe = WanImageToVideoPipeline.from_pretrained(folder)
    assert type(pipe.transformer) is ChronoEditTransformer3DModel
    ours = edited(Editor.load(str(folder)))
    assert np.abs(clip_of(pipe, source) - ours).max() <= 0.5 / 255 + 1e-4
    usual = edited(Editor.load(str(folder), positions=(0, 1)))
    assert np.abs(usual - ours).max() > 2 / 255  # four times what the two programs may differ by
    again = load_dit(str(folder), torch.float32)
    assert isinstance(again, WanTransformer3DModel) and again.rope.placed == {2: (0, 7)}
    assert all(torch.equal(p, trainer.dit.get_parameter(name)) for name, p in again.named_parameters())
