"""Steps of the student at Wan2.1-14B's width, on one of 8 pretended GPUs: devices, dtypes, waits, bytes, memory."""

import pytest

pytestmark = pytest.mark.slow
INPUTS = 0.048  # bytes of latents, texts and image states, against those of a target of two taps
STEPS = {
    "480p": ["recipe=wan14b_480p"],
    "720p": ["recipe=wan14b_720p"],
    "everything kept": ["recipe=wan14b_480p", "train.recompute=none"],
    "products kept": ["recipe=wan14b_480p", "train.recompute=selective"],
    "two forwards": ["recipe=wan14b_480p", "optim.accumulate=16"],
    "hsdp": ["recipe=wan14b_480p", "train.shard=4"],
    "lora": ["recipe=wan14b_lora"],
    "tail in pixels": ["recipe=wan14b_480p", "tail.space=pixel"],
}


@pytest.mark.parametrize(
    "name", [name if name == "480p" else pytest.param(name, marks=pytest.mark.long) for name in STEPS]
)
def test_a_step_holds_what_was_planned_and_multiplies_in_one_dtype(pretended, name):
    case = pretended("student", *STEPS[name])
    step = case.parts["step"]
    assert not step.mismatched
    assert step.peak == pytest.approx(case.planned, rel=0.1), case.notes
    assert step.syncs == 1, step.reads
    assert not step.moved_out
    targets = case.parts["arrive"].moved_in.total()  # beside the step before
    assert step.moved_in.total() == pytest.approx(INPUTS * targets, rel=0.1)


@pytest.mark.long
def test_ranks_on_two_nodes_shard_in_each_of_them(pretended):
    """HSDP: a rank holds an eighth of the student, and not a sixteenth."""
    case = pretended("student", "recipe=wan14b_480p", "train.shard=8", "optim.accumulate=16", world=16)
    step = case.parts["step"]
    assert step.peak == pytest.approx(case.planned, rel=0.1), case.notes
    assert (step.syncs, step.moved_out.total(), step.mismatched.total()) == (1, 0, 0)


@pytest.mark.parametrize("offload", ["optimizer", pytest.param("all", marks=pytest.mark.long)])
def test_what_is_kept_in_host_memory_is_not_on_the_device(pretended, offload):
    case = pretended("student", "recipe=wan14b_480p", f"train.offload={offload}")
    step, moments = case.parts["step"], case.notes["plan"]["moments"]
    assert not step.mismatched
    assert step.peak == pytest.approx(case.planned, rel=0.1), case.notes
    if offload == "optimizer":  # by copies that nobody waits for
        assert step.syncs == 1, step.reads
        assert step.moved_out.total() == pytest.approx(moments, rel=0.01)
        assert step.moved_in.total() == pytest.approx(moments, rel=0.05)


@pytest.mark.long
def test_a_step_that_is_not_finite_is_skipped(pretended):
    case = pretended("student", "recipe=wan14b_480p", bad=True)
    assert case.notes["metrics"]["skipped"] == 1
    assert case.parts["step"].syncs == 1


@pytest.mark.long
def test_the_tail_in_pixels_keeps_a_fraction_of_what_the_vae_computes(pretended):
    """The VAE held 54 GiB for the backward of one clip when it kept everything."""
    case = pretended("pixel_tail", 480, 832)
    assert case.notes["gradient"] == "torch.float32"
    assert case.parts["forward"].end / 2**30 < 16
    assert case.parts["backward"].peak / 2**30 < 24
