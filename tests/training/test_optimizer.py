"""Moments in host memory: AdamW's numbers to the bit, whatever order a GPU's copies run in."""

import copy
from collections.abc import Callable

import pytest
import torch

from tests.support.student import CPU, make_dit, make_trainer, run
from tests.support.synthetic import config
from v4e.config import Optim
from v4e.training import optimizer as optimizers
from v4e.training.lane import Lane
from v4e.training.optimizer import MOMENTS, SLOTS, at_rest, build_optimizer
from v4e.training.student import StudentTrainer


@pytest.mark.slow
def test_moments_in_host_memory_are_adamws():
    offloaded = make_trainer(config(train={"offload": "optimizer"}))
    plain = make_trainer()
    assert run(offloaded, range(2)) == run(plain, range(2))
    resumed = StudentTrainer(config(train={"offload": "optimizer"}), make_dit(seed=9), device=CPU)
    resumed.load_state_dict(copy.deepcopy(offloaded.state_dict()))
    assert run(resumed, range(2, 4)) == run(plain, range(2, 4))
    assert all(torch.equal(a, b) for a, b in zip(resumed.parameters, plain.parameters, strict=True))


@pytest.mark.parametrize("begun", [False, True])
def test_loaded_moments_never_visit_the_device(begun):
    """A meta device keeps no numbers: what goes there does not come back."""
    here, there = ([torch.nn.Parameter(torch.ones(n + 1, device=device)) for n in range(3)] for device in (CPU, "meta"))
    trained, loaded = (build_optimizer(parameters, Optim(), offload=True) for parameters in (here, there))
    for parameter in here[:2]:  # the third has had no gradient yet
        parameter.grad = torch.full_like(parameter, 3.0)
    trained.step()
    rests = [{name: at_rest(parameter) for name in MOMENTS} for parameter in there[:2]]
    if begun:
        loaded.state.update({parameter: dict(rest) for parameter, rest in zip(there, rests, strict=False)})
    loaded.load_state_dict(trained.state_dict())
    assert list(loaded.state) == there[:2]
    for parameter, mine, rest in zip(here, there, rests, strict=False):
        assert loaded.state[mine]["step"].device.type == "meta"
        for name in MOMENTS:
            assert torch.equal(loaded.state[mine][name], trained.state[parameter][name])
            assert (loaded.state[mine][name] is rest[name]) == begun  # pinned memory is made once


class LateLane(Lane):
    """Copies nothing before somebody waits for it: the latest moment that a GPU's streams may choose."""

    def __init__(self) -> None:
        super().__init__(None)
        self.waiting: list[Callable[[], object]] = []

    def copy(self, into: torch.Tensor, value: torch.Tensor) -> None:
        self.waiting.append(lambda: into.copy_(value))

    def mark(self):
        return self, len(self.waiting)

    def after(self, mark) -> None:
        self.waiting.append(lambda: reach(mark))


class Computing(LateLane):
    """The lane of the computation, which is always up to date: it waits at once."""

    def after(self, mark) -> None:
        reach(mark)


def reach(mark: tuple[LateLane, int] | None) -> None:
    """Does what stands before a mark and is not yet done."""
    lane, end = mark or (LateLane(), 0)
    for place, do in enumerate(lane.waiting[:end]):
        lane.waiting[place] = lambda: None
        do()


@pytest.mark.parametrize("missing", [None, 4])
def test_moments_are_adamws_however_late_a_copy_runs(monkeypatch, missing):
    """`missing` has no gradient at first."""
    weights, moments = [], []
    for offload in (False, True):
        if offload:
            monkeypatch.setattr(optimizers.Lane, "of", lambda _device: LateLane())
            monkeypatch.setattr(optimizers.Lane, "computing", lambda _device: Computing())
        parameters = [torch.nn.Parameter(torch.ones(n + 1)) for n in range(7)]
        optimizer = build_optimizer(parameters, Optim(), offload=offload)
        for step in range(3):
            for n, parameter in enumerate(parameters):
                parameter.grad = torch.full((n + 1,), 1.0 + n + step) if n != missing or step == 2 else None
            optimizer.step()
        weights += [torch.cat([parameter.detach() for parameter in parameters])]
        moments += [torch.cat([optimizer.state[parameter]["exp_avg_sq"] for parameter in parameters])]
        assert optimizer.param_groups[0]["params"] == parameters
    assert torch.equal(*weights) and torch.equal(*moments)


def test_a_step_has_the_moments_of_three_parameters_on_the_device(monkeypatch):
    """Those of the parameter in hand lie in the slots, all others in memory of their own."""
    step, seen = torch.optim.AdamW.step, []

    def spy(optimizer) -> None:
        seen.append([state["exp_avg"].untyped_storage().nbytes() for state in optimizer.state.values()])
        step(optimizer)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    weights = [torch.nn.Parameter(torch.ones(100 - n)) for n in range(3)]
    optimizer = build_optimizer(weights, Optim(), offload=True)
    for _ in range(2):
        for weight in weights:
            weight.grad = torch.ones_like(weight)
        optimizer.step()
    slots = SLOTS * 2 * 100 * 4  # two moments of the largest parameter, in float32
    assert seen == 2 * [[slots, 396, 392], [400, slots, 392], [400, 396, slots]]
    assert [state["exp_avg_sq"].untyped_storage().nbytes() for state in optimizer.state.values()] == [400, 396, 392]
