"""Checkpoints: exact, atomic, retained; and exports that diffusers loads unchanged."""

import shutil
from pathlib import Path

import pytest
import torch
from diffusers import WanImageToVideoPipeline, WanTransformer3DModel
from synthetic import config
from test_student import make_batch, make_trainer, run
from torch.distributed.checkpoint.api import CheckpointException

from v4e import checkpoint
from v4e.student import StudentTrainer


def loaded(folder: Path, step: int) -> StudentTrainer:
    trainer = make_trainer()
    state = trainer.state_dict()
    checkpoint.load(folder, step, state)
    trainer.load_state_dict(state)
    return trainer


def test_resume_from_a_checkpoint_equals_going_on(tmp_path):
    whole = make_trainer()
    run(whole, range(2))
    checkpoint.save(tmp_path, 2, whole.state_dict(), keep=2)
    expected = run(whole, range(2, 4))
    assert run(loaded(tmp_path, 2), range(2, 4)) == expected


def test_the_newest_are_kept_and_a_torn_one_does_not_count(tmp_path):
    trainer = make_trainer()
    for step in range(1, 4):
        trainer.step([make_batch(step, forward) for forward in range(2)])
        checkpoint.save(tmp_path, step, trainer.state_dict(), keep=2)
    shutil.copytree(tmp_path / "step-000003", tmp_path / "step-000005")
    (tmp_path / "step-000005" / ".metadata").unlink()
    assert checkpoint.steps_of(tmp_path) == [2, 3]
    assert loaded(tmp_path, 2).step_count == 2
    trainer.step([make_batch(4, forward) for forward in range(2)])
    checkpoint.save(tmp_path, 4, trainer.state_dict(), keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000003", "step-000004"]


def test_a_crash_while_saving_leaves_the_previous_one(tmp_path):
    trainer = make_trainer()
    run(trainer, range(1))
    checkpoint.save(tmp_path, 1, trainer.state_dict(), keep=1)
    saver = checkpoint.Saver(str(tmp_path), config())
    state = trainer.state_dict()
    state["optimizer"]["bad"] = Unwritable()
    saver.save(2, state)
    with pytest.raises(CheckpointException):
        saver.save(3, trainer.state_dict())
    assert checkpoint.steps_of(tmp_path) == [1]
    assert loaded(tmp_path, 1).step_count == 1


class Unwritable:
    """An entry that breaks the writer half way."""

    def __deepcopy__(self, memo: dict):
        return self

    def __reduce__(self):
        raise RuntimeError("unwritable")


@pytest.mark.parametrize("weights", ["model", "ema"])
def test_diffusers_loads_the_export(tmp_path, random_family, weights):
    trainer = make_trainer()
    run(trainer, range(2))
    path = Path(checkpoint.save(tmp_path / "checkpoints", 2, trainer.state_dict(), keep=1))
    out = tmp_path / "export" / weights
    base = str(random_family / "tiny-wan-i2v")
    for _ in range(2):  # the second replaces the first
        checkpoint.export(path, base, out, weights=weights, dtype=torch.float32)
    pipe = WanImageToVideoPipeline.from_pretrained(out)
    expected = dict(trainer.dit.named_parameters()) if weights == "model" else trainer.ema.shadow
    found = dict(pipe.transformer.named_parameters())
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)
    stock = WanImageToVideoPipeline.from_pretrained(base)
    for name in ("vae", "text_encoder", "image_encoder"):
        ours, theirs = getattr(pipe, name).state_dict(), getattr(stock, name).state_dict()
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert pipe.tokenizer("a blue circle").input_ids == stock.tokenizer("a blue circle").input_ids


def test_export_keeps_in_float32_what_diffusers_keeps(tmp_path, random_family):
    trainer = make_trainer()
    run(trainer, range(1))
    path = Path(checkpoint.save(tmp_path / "checkpoints", 1, trainer.state_dict(), keep=1))
    out = tmp_path / "export"
    checkpoint.export(path, str(random_family / "tiny-wan-i2v"), out, weights="ema", dtype=torch.bfloat16)
    ours = WanTransformer3DModel.from_pretrained(out, subfolder="transformer", torch_dtype=torch.bfloat16)
    dtypes = {name: p.dtype for name, p in ours.named_parameters()}
    assert dtypes["blocks.0.scale_shift_table"] == torch.float32
    assert dtypes["blocks.0.attn1.to_q.weight"] == torch.bfloat16
    exact = trainer.ema.shadow["blocks.0.scale_shift_table"]
    assert torch.equal(dict(ours.named_parameters())["blocks.0.scale_shift_table"], exact)


def test_export_without_a_checkpoint_says_what_to_do(tmp_path, random_family):
    with pytest.raises(FileNotFoundError, match=r"train\.py"):
        base = str(random_family / "tiny-wan-i2v")
        checkpoint.export(tmp_path / "step-000001", base, tmp_path / "out", weights="ema", dtype=torch.float32)
