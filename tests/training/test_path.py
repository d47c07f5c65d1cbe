"""States on the student's own way: where they are, who is asked about them, and that a resumed run makes the same."""

from dataclasses import replace

import pytest
import torch

from actors.stream.packing import unpack
from actors.teacher.actor import Teacher
from tests.support.student import CPU, make_batch, make_trainer, run
from tests.support.synthetic import LATENT, config, requests_of, rolled_out, sample, stored
from v4e.config import parse
from v4e.data.store.header import Header, Texts
from v4e.method.flow import draw, times
from v4e.method.inputs import noised, placed, student_inputs
from v4e.models.dit import predict
from v4e.training.path import OwnPath, posterior, walk
from v4e.training.recordings import Recordings
from v4e.training.student import StudentTrainer
from v4e.types import Sample, TargetRequest

MIXED = config(distill={"states": "mixed"}, flow={"weight": 0.5})


def read(key: str):
    return sample(int(key[1:]))


def asked(trainer: StudentTrainer, count: int) -> list[TargetRequest]:
    return list(OwnPath(requests_of(count), trainer, read))


@torch.no_grad()
def test_a_state_is_where_eulers_steps_of_the_student_lead():
    trainer, samples = make_trainer(MIXED), [sample(0), sample(1)]
    t, t_next, *_ = times(8, MIXED.flow.shift).tolist()
    eps = torch.stack([draw(seed, LATENT, MIXED.flow.shift)[1] for seed in (3, 4)])
    u = predict(trainer.dit, eps, torch.full((2,), t), student_inputs(samples, CPU, torch.float32))[0]
    torch.testing.assert_close(walk(trainer, samples, eps, [t, t_next]), eps + (t_next - t) * u)
    assert torch.equal(walk(trainer, samples, eps, [t]), eps)


@pytest.mark.slow
def test_all_forwards_of_a_step_ask_at_one_place_and_steps_at_several():
    trainer = make_trainer(MIXED)
    found = [request.t for request in asked(trainer, 12)]
    assert found[::2] == found[1::2]
    grid = times(8, MIXED.flow.shift).tolist()
    assert set(found) <= set(grid[:-1]) and len(set(found)) > 2


@pytest.mark.slow
def test_a_resumed_student_asks_about_the_same_states():
    trainer, other = make_trainer(MIXED), make_trainer(MIXED)
    run(trainer, range(2))
    first = asked(make_trainer(MIXED), 6)
    other.load_state_dict(trainer.state_dict())
    assert asked(other, 2) == asked(trainer, 2)
    assert asked(trainer, 2)[0].x_t not in [request.x_t for request in first]


def test_only_the_first_samples_are_moved():
    noise = noised((1, 2), torch.randn(2, *LATENT), 3.0)
    own = torch.randn(1, *LATENT).bfloat16()
    moved = placed(noise, own.view(torch.uint8).numpy().tobytes(), 0.25)
    assert torch.equal(moved.x_t_BCFHW[0], own[0].float()) and torch.equal(moved.x_t_BCFHW[1], noise.x_t_BCFHW[1])
    assert moved.t_B.tolist() == [0.25, noise.t_B[1].item()]
    assert placed(noise, b"", 0.0) is noise


def test_the_teacher_answers_about_the_states_of_a_request(tmp_path, random_family):
    settings = stored(tmp_path, random_family, 2)
    rolled_out(settings)
    teacher = Teacher(settings)
    request = TargetRequest(sample_ids=("s000", "s001"), seeds=(11, 12))
    noise = noised(request.seeds, torch.stack([teacher.rollout(key) for key in request.sample_ids]), 3.0)
    t = noise.t_B[0].item()
    same = replace(request, x_t=noise.x_t_BCFHW[:1].bfloat16().view(torch.uint8).numpy().tobytes(), t=t)
    other = replace(request, x_t=torch.randn(1, *LATENT).bfloat16().view(torch.uint8).numpy().tobytes(), t=t)
    plain, near, far = (unpack(teacher.targets(asked)).float() for asked in (request, same, other))
    assert torch.allclose(plain, near, rtol=2e-2, atol=2e-2)  # its states have bfloat16's 8 bits
    assert torch.equal(plain[:, 1], near[:, 1]) and torch.equal(plain[:, 1], far[:, 1])
    assert not torch.allclose(plain[:, 0], far[:, 0], rtol=2e-2, atol=2e-2)
    assert torch.equal(unpack(teacher.targets(same)), unpack(Teacher(settings).targets(same)))


def test_on_its_own_states_the_student_has_distillation_alone():
    trainer, batch = make_trainer(MIXED), make_batch(0, 0)
    own = torch.randn(1, *LATENT).bfloat16().view(torch.uint8).numpy().tobytes()
    batch = replace(batch, x_t=own, t=0.5)
    elsewhere = replace(batch.samples[0], z_tail_CHW=torch.zeros_like(batch.samples[0].z_tail_CHW))
    clip = torch.cat([torch.zeros_like(batch.z_clip_BCFHW[:1]), batch.z_clip_BCFHW[1:]])
    moved = replace(batch, samples=(elsewhere, batch.samples[1]), z_clip_BCFHW=clip)
    found, same = trainer.losses(batch), trainer.losses(moved)
    assert all(torch.equal(found[name], same[name]) for name in ("loss", "kd", "tail", "flow"))
    assert not torch.equal(found["kd"], trainer.losses(replace(batch, t=0.25))["kd"])
    assert not torch.equal(found["tail"], trainer.losses(replace(batch, samples=batch.samples[::-1]))["tail"])
    assert not torch.equal(found["flow"], trainer.losses(replace(batch, seeds=(7, 9)))["flow"])


def test_the_posterior_is_bayes_rule_by_a_count_of_draws():
    """Of many draws of an edit and its noise, those that land near a state are of each edit in its share."""
    generator = torch.Generator().manual_seed(0)
    tails, t = torch.tensor([-1.0, 0.5, 1.0]), 0.6
    drawn = torch.randint(3, (400_000,), generator=generator)
    x = (1 - t) * tails[drawn] + t * torch.randn(len(drawn), generator=generator)
    for state in (-0.7, 0.1, 0.6):
        near = drawn[(x - state).abs() < 0.02]
        share = torch.bincount(near, minlength=3) / len(near)
        p = posterior(torch.full((1, 1, 1), state), tails.view(3, 1, 1, 1), t)
        torch.testing.assert_close(p.float(), share, atol=0.02, rtol=0)
    assert posterior(torch.full((1, 1, 1), 0.6), tails.view(3, 1, 1, 1), 0.0).tolist() == [0, 1, 0]


def twins(count: int) -> dict[str, Sample]:
    """Samples, of which s000 to s002 are three recorded edits of one source and instruction; s002 to within bits."""
    found = {f"s{number:03d}": sample(number) for number in range(count)}
    first = found["s000"]
    for key in ("s001", "s002"):
        z_i2v_CFHW = first.z_i2v_CFHW * (1 + 1e-6 * (key == "s002"))
        found[key] = replace(found[key], z_i2v_CFHW=z_i2v_CFHW, instruction_TD=first.instruction_TD)
    return found


def headers_of(samples: dict[str, Sample]) -> dict[str, Header]:
    said = {key: "a" if key <= "s003" else key for key in samples}  # s003 has their words and another source
    return {
        key: Header(texts=Texts(instruction=said[key], caption="", task="color"), bucket=LATENT[2:]) for key in samples
    }


def test_recordings_share_source_and_instruction():
    samples = twins(6)
    found = Recordings(samples, headers_of(samples), samples.__getitem__)
    found.check()
    assert {key: found.of(key) for key in samples} == {
        **dict.fromkeys(("s000", "s001", "s002"), ("s000", "s001", "s002")),
        **{key: (key,) for key in ("s003", "s004", "s005")},
    }
    alone = Recordings(["s000", "s003", "s004"], headers_of(samples), samples.__getitem__)
    with pytest.raises(ValueError, match=r"distill\.shown"):
        alone.check()


@pytest.mark.slow
@pytest.mark.parametrize("shown", ["posterior", "hindsight"])
def test_the_edit_to_show_is_chosen_by_where_the_student_is(shown):
    settings, samples = config(distill={"states": "mixed", "shown": shown}), twins(6)
    trainer = make_trainer(settings)
    recordings = Recordings(samples, headers_of(samples), samples.__getitem__)

    def shown_to(requests: list[TargetRequest]) -> list[TargetRequest]:
        return list(OwnPath(requests, trainer, samples.__getitem__, recordings))

    asked = [replace(request, sample_ids=("s001", "s004")) for request in requests_of(16)]
    found = shown_to(asked)
    assert {len(request.shown) for request in found} == {1} and found == shown_to(asked)
    chosen = {request.shown[0] for request in found}
    assert chosen <= {"s000", "s001", "s002"} and (len(chosen) > 1 or shown == "hindsight")
    # Where one edit is just what the student is on its way to, it is that edit.
    grid = times(8, settings.flow.shift).tolist()
    eps = draw(found[0].seeds[0], LATENT, settings.flow.shift)[1][None]
    end = walk(trainer, [samples["s001"]], eps, grid)[0, :, -1]
    samples["s002"] = replace(samples["s002"], z_tail_CHW=end)
    [first] = shown_to(asked[:1])
    assert first.shown == ("s002",) or (shown == "posterior" and first.t == grid[0])


def test_the_teacher_is_shown_the_edit_that_a_request_names(tmp_path, random_family):
    settings = stored(tmp_path, random_family, 3)
    rolled_out(settings)
    teacher = Teacher(settings)
    request = TargetRequest(sample_ids=("s000", "s001"), seeds=(11, 12))
    plain, other = (unpack(teacher.targets(r)).float() for r in (request, replace(request, shown=("s002",))))
    assert torch.equal(plain[:, 1], other[:, 1]) and not torch.allclose(plain[:, 0], other[:, 0])
    same = replace(request, shown=("s000",))
    assert torch.equal(unpack(teacher.targets(request)), unpack(teacher.targets(same)))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (["distill.shown=posterior"], "distill.states"),
        (["distill.states=student"], "tail.weight=20"),
        (["distill.states=mixed", "kd.weight=0"], "kd.weight=0"),
        (["distill.states=mixed", "optim.batch=1"], "optim.batch=1"),
        (["distill.steps=0"], "distill.steps"),
    ],
)
def test_states_that_nobody_is_asked_about_are_refused(settings, named):
    with pytest.raises(ValueError, match=named):
        parse(["recipe=tiny", *settings])
