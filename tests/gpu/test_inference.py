"""Teacher, editor and encoders at Wan2.1-14B's sizes, on a pretended GPU: devices, dtypes, waits, bytes, memory."""

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def teacher(pretended):
    """A target and two steps of a rollout with guidance, by one block: both tests look at one walk."""
    return pretended("teacher", "recipe=wan14b_480p", "teacher.guidance=5.5", layers=1, rollout=True)


def test_a_teacher_computes_a_target_without_a_wait(teacher):
    is_computed_without_a_wait(teacher, taps=1)


@pytest.mark.long
def test_so_does_one_of_two_blocks_at_720p(pretended):
    is_computed_without_a_wait(pretended("teacher", "recipe=wan14b_720p"), taps=2)


def is_computed_without_a_wait(case, *, taps: int) -> None:
    forward, answer, tokens = case.parts["forward"], case.parts["answer"], case.notes["shape"][2]
    assert forward.syncs == 0, forward.reads
    assert not forward.mismatched
    assert answer.moved_out.total() == taps * tokens * 5120 * 2
    assert set(answer.reads) == {"Event.synchronize"}  # into pinned memory: only who sends it waits for it
    assert set(case.notes["flash"]) == {(tokens, tokens), (tokens, 512), (tokens, 514)}
    assert forward.peak == pytest.approx(case.planned, rel=0.1)


def test_a_rollout_waits_for_nothing(teacher):
    rollout = teacher.parts["rollout"]
    assert rollout.syncs == 0, rollout.reads
    assert not rollout.mismatched
    assert rollout.computed["_scaled_dot_product_flash_attention bfloat16"] == 3 * 2 * 2  # kinds, passes, steps


@pytest.mark.long
def test_a_rank_of_a_teacher_holds_its_part(pretended):
    case = pretended("teacher", "recipe=wan14b_480p", "teacher.tp=2")
    forward = case.parts["forward"]
    assert forward.syncs == 0, forward.reads
    assert not forward.mismatched
    assert forward.peak == pytest.approx(case.planned, rel=0.1)


def test_an_edit_waits_for_its_pictures_alone(pretended):
    case = pretended("editor", "recipe=wan14b_480p", layers=1)
    edit = case.parts["edit"]
    assert not edit.mismatched
    assert edit.syncs == 1, edit.reads  # the finished clip; a preview is apart
    assert edit.moved_out.total() == 5 * 480 * 832 * 3
    assert edit.peak == pytest.approx(case.planned, rel=0.1)
    for step in range(2):
        preview = case.parts[f"preview {step}"]
        assert (preview.syncs, preview.moved_out.total()) == (1, 480 * 832 * 3)


# Waits beside that for the finished clip. UniPC solves a system at each step from the third on, and hears if it failed.
WAYS: dict[str, tuple[list[str], dict[str, object], int]] = {
    "unipc": (["sample.solver=unipc", "sample.guidance=5"], {"steps": 4}, 2),
    "lora": ([], {"lora": True}, 0),
    "step cache": ([], {"step_cache": 0.05, "layers": 2}, 1),  # at each step but the first it looks at what moved
    "decoder in bfloat16": ([], {"bf16_decode": True}, 0),
}


@pytest.mark.long
@pytest.mark.parametrize("way", WAYS)
def test_an_edit_in_another_way_waits_as_often_as_it_must(pretended, way):
    settings, options, waits = WAYS[way]
    case = pretended("editor", "recipe=wan14b_480p", *settings, **{"layers": 1, "preview": False} | options)
    edit = case.parts["edit"]
    assert not edit.mismatched
    assert edit.syncs == 1 + waits, edit.reads
    assert edit.moved_out.total() == 5 * 480 * 832 * 3
    least = 0.85 if way == "decoder in bfloat16" else 0.9  # it is not planned for
    assert least < edit.peak / case.planned < 1.1


@pytest.mark.long
def test_a_batch_of_edits_meets_the_vae_one_clip_at_a_time(pretended):
    case = pretended("editor", "recipe=wan14b_480p", "eval.batch=3", layers=1, preview=False)
    assert case.parts["edit"].peak == pytest.approx(case.planned, rel=0.1)
    assert case.parts["edit"].more_gib < 9  # one clip takes 7.5, three would take 22.6


@pytest.mark.long
def test_precompute_holds_what_was_planned(pretended):
    case = pretended("precompute", "recipe=wan14b_480p", "precompute.batch=1")
    encode = case.parts["encode"]
    assert not encode.mismatched
    assert encode.peak == pytest.approx(case.planned, rel=0.1)
    assert all(device == "cpu" for device, _ in case.notes["sample"].values())
