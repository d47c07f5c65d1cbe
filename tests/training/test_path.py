"""States on the student's own way: where they are, who is asked about them, and that a resumed run makes the same."""

from dataclasses import replace

import pytest
import torch

from actors.stream.packing import unpack
from actors.teacher.actor import Teacher
from tests.support.student import CPU, make_batch, make_trainer, run
from tests.support.synthetic import LATENT, config, requests_of, rolled_out, sample, stored
from v4e.config import parse
from v4e.method.flow import draw, times
from v4e.method.inputs import noised, placed, student_inputs
from v4e.models.dit import predict
from v4e.training.path import OwnPath, walk
from v4e.training.student import StudentTrainer
from v4e.types import TargetRequest

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
    torch.testing.assert_close(walk(trainer, samples, (3, 4), [t, t_next]), eps + (t_next - t) * u)
    assert torch.equal(walk(trainer, samples, (3, 4), [t]), eps)


def test_all_forwards_of_a_step_ask_at_one_place_and_steps_at_several():
    trainer = make_trainer(MIXED)
    found = [request.t for request in asked(trainer, 12)]
    assert found[::2] == found[1::2]
    grid = times(8, MIXED.flow.shift).tolist()
    assert set(found) <= set(grid[:-1]) and len(set(found)) > 2


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


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (["distill.states=student"], "tail.weight=20"),
        (["distill.states=mixed", "kd.weight=0"], "kd.weight=0"),
        (["distill.states=mixed", "optim.batch=1"], "optim.batch=1"),
        (["distill.steps=0"], "distill.steps"),
    ],
)
def test_states_that_nobody_is_asked_about_are_refused(settings, named):
    with pytest.raises(ValueError, match=named):
        parse(["recipe=tiny", *settings])
