"""The evolution world: deterministic, atomic, honest about what it holds out."""

import numpy as np
import pytest

from pipelines.parts.command import main
from v4e.language.tasks import TASKS
from v4e.tiny.world import make_record, make_triplets
from v4e.tiny.world.corpus import make_clip
from v4e.tiny.world.scene import COLORS, SHAPES, held_out


def test_a_record_is_a_pure_function_of_its_name():
    for task in TASKS:
        a, b = make_record("train", task, 3, 0), make_record("train", task, 3, 0)
        assert (a.instruction, a.caption) == (b.instruction, b.caption)
        assert (a.frames == b.frames).all()


@pytest.mark.slow
def test_splits_and_seeds_do_not_share_scenes():
    seen = {}
    for split in ("train", "val", "heldout"):
        for record in make_triplets(split, 10):
            key = record.frames.tobytes() + record.instruction.encode()
            assert seen.setdefault(key, split) == split


@pytest.mark.slow
def test_held_out_combinations_are_drawn_in_the_heldout_split_only():
    pairs = [f"{c} {s}" for c in COLORS for s in SHAPES if held_out(c, s)]
    assert len(pairs) == len(SHAPES)  # one color of each shape

    def named(records):
        return [p for r in records for p in pairs if p in f"{r.instruction} {r.caption}"]

    assert not named(make_triplets("train", 8))
    assert not named(make_triplets("val", 8))
    assert not [p for i in range(50) for t in make_clip(i, 0)[2]["captions"] for p in pairs if p in t]
    assert len(named(make_triplets("heldout", 8))) > 8


def test_clips_evolve_from_source_to_edit_without_a_jump():
    for record in make_triplets("train", 8):
        clip = record.frames.astype(float)
        total = np.abs(clip[-1] - clip[0]).mean()
        steps = np.abs(np.diff(clip, axis=0)).mean((1, 2, 3))
        assert total > 0
        assert steps.min() > 0, record.id
        assert record.mask.mean() > 0.005


def test_local_edits_leave_the_rest_alone():
    local = set(TASKS) - {"background", "style", "tone"}
    for record in make_triplets("train", 8):
        if record.task in local:
            assert record.mask.mean() < 0.5, record.id


@pytest.mark.slow
def test_captions_say_what_the_instruction_asks():
    for record in make_triplets("train", 30):
        if record.task == "text":
            word = record.instruction.rstrip(".").split("with")[-1].split()[-1].strip("\"'")
            assert word in record.caption
        assert record.caption.endswith(".")


@pytest.mark.parametrize("argument", ["sheet=/nonexistent/x.png", "sheet=x.txt", "per_task=0"])
def test_the_command_line_refuses_in_words(argument, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main("world", [argument, f"out={tmp_path}"])
    assert ended.value.code == 1 and argument in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_unknown_split_is_named():
    with pytest.raises(ValueError, match="unknown split 'test'"):
        make_record("test", "color", 0, 0)
