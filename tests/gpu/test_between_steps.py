"""The work of a 14B run between its steps, on one of 8 pretended GPUs: strips, checkpoints, a resume, an export."""

import pytest

from v4e.planning.memory import OFFLOADED

pytestmark = pytest.mark.slow
PICTURE = 480 * 832 * 3  # bytes


@pytest.mark.long
def test_strips_hold_what_was_planned_and_bring_home_their_pictures_alone(pretended):
    case = pretended("strips", "recipe=wan14b_480p")
    after, pictures = case.parts["after"], 1 + 8  # of the student: its own, to be gathered, and those of all ranks
    assert not after.mismatched
    assert after.peak == pytest.approx(case.planned, rel=0.1)
    assert after.end == after.start
    assert after.moved_out.total() == 2 * pictures * PICTURE  # and as many of the average
    assert after.syncs == 2 * (pictures + 1), after.reads  # once more before the gathered weights are let go
    assert {name: len(images) for name, images in case.notes["written"].items()} == {"student": 8, "ema": 8}


@pytest.mark.long
@pytest.mark.parametrize("offload", ["none", "optimizer", "all"])
def test_a_checkpoint_leaves_once_and_comes_back_within_a_steps_memory(pretended, offload):
    """The second one, for which host memory is there already."""
    case = pretended("resume", "recipe=wan14b_480p", f"train.offload={offload}")
    again, load, plan = case.parts["save again"], case.parts["load"], case.notes["plan"]
    kept = sum(plan[part] for part in ("weights", "ema", "moments") if part not in OFFLOADED[offload])
    near = {"abs": 0.01 * plan["weights"]}
    assert again.moved_out.total() == pytest.approx(kept, **near)
    assert not again.moved_in and again.peak == again.start  # there is no second copy on the device
    visit = plan["moments"] if offload == "optimizer" else 0  # of new moments, parameter by parameter
    assert load.moved_in.total() == pytest.approx(kept + visit, **near)
    assert load.peak <= case.planned
    assert load.end == again.end == pytest.approx(kept, **near)


@pytest.mark.long
def test_an_export_is_what_a_model_of_its_precision_asks_for(pretended):
    """All 40 blocks, through files of the size that was asked for, and without the GPU."""
    case = pretended("exported", "recipe=wan14b_480p", "export.shard_mb=5000")
    files = case.notes["files"]
    assert {name: kind for tensors in files.values() for name, kind in tensors.items()} == case.notes["asked"]
    assert len(files) == 7  # of 32.9 GB
    assert {dtype for _, dtype in case.notes["asked"].values()} == {"torch.bfloat16", "torch.float32"}
    assert case.parts["export"].peak == 0
