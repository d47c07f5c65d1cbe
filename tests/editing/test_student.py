"""The student that comes with v4e: its examples work, and its file is of its base alone."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pipelines.parts.command import main
from v4e.editing.editor import Editor
from v4e.editing.settings import EditSettings
from v4e.evaluation.metrics.exact import psnr, score
from v4e.files.images import open_image
from v4e.weights import student
from v4e.weights.change import add_change, write_change

PRESERVE_DB = 20.0


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


@pytest.fixture(scope="module")
def edits() -> list[Image.Image]:
    """The edits of all examples, each made alone, as the page and the command line make them."""
    editor, settings = Editor.load(), EditSettings(max_pixels=student.card().max_pixels)
    return [
        editor.edit([open_image(one.picture)], [one.instruction], [one.seed], settings)[0].image
        for one in student.card().examples
    ]


@pytest.mark.slow
def test_every_example_works_by_the_exact_judge(edits):
    examples = student.card().examples
    assert 3 <= len(examples) <= 6 and len({one.task for one in examples}) == len(examples)
    for number, (one, edit) in enumerate(zip(examples, edits, strict=True), 1):
        truth = Image.open(student.FOLDER / f"truth-{number}.png")
        made = score(one.task, pixels(Image.open(one.picture)), pixels(truth), pixels(edit), PRESERVE_DB)
        assert made.success, one


def test_a_clip_length_that_it_was_not_trained_on_is_refused():
    settings = EditSettings(max_pixels=student.card().max_pixels, frames=9)
    with pytest.raises(ValueError, match=r"frames=9.*clips of 5 frames only"):
        Editor.load().edit([Image.new("RGB", (32, 32))], ["x"], [0], settings)


def test_the_command_line_has_them(edits, tmp_path, capsys):
    out = tmp_path / "out.png"
    main("edit", ["--example", "-o", str(out)])
    assert psnr(pixels(Image.open(out)), pixels(edits[0])) > 50  # the threads are others
    assert student.card().examples[0].instruction in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main("edit", ["example=99", "-o", str(out)])
    assert "example=99: expected 1 to" in capsys.readouterr().err


def test_a_change_is_kept_to_a_254th_of_each_rows_largest(tmp_path):
    torch.manual_seed(0)
    base, trained = nn.Conv2d(3, 4, 2), nn.Conv2d(3, 4, 2)
    write_change(base.state_dict(), trained.state_dict(), tmp_path / "change.safetensors")
    expected = {name: weight.clone() for name, weight in trained.named_parameters()}
    bound = {
        name: (expected[name] - weight).abs().flatten(1 if weight.ndim > 1 else 0).amax(-1) / 254
        for name, weight in base.named_parameters()
    }
    add_change(base, tmp_path / "change.safetensors")
    for name, weight in base.named_parameters():
        off = (weight - expected[name]).abs().flatten(1 if weight.ndim > 1 else 0).amax(-1)
        assert (off <= 1.01 * bound[name] + 1e-7).all()
    with pytest.raises(ValueError, match="expected a change of this model"):
        add_change(nn.Linear(3, 4, bias=False), tmp_path / "change.safetensors")
