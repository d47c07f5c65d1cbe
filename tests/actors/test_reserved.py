"""The resources that actors ask for, and the device that follows from what Ray reserved."""

import re
from pathlib import Path

import pytest
import ray
import torch

from actors import reserved
from actors.teacher.gang import needs
from tests.support.processes import ROOT
from v4e.config import Teacher

FOUND = re.compile(r"any_device|cuda\.(is_available|device_count)")  # what torch finds on a node


def test_a_gpu_that_torch_cannot_use_is_named(monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "get_gpu_ids", lambda: [3])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        RuntimeError, match=r"reserved GPU 3 on .* finds no CUDA: install a CUDA build .* or ask for no"
    ):
        reserved.reserved_device()


@pytest.mark.parametrize(("reserved_ids", "device"), [([], "cpu"), ([2], "cuda:0")])
def test_what_ray_reserved_decides_and_not_what_torch_finds(monkeypatch, reserved_ids, device):
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "get_gpu_ids", lambda: reserved_ids)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert str(reserved.reserved_device()) == device


def test_outside_of_ray_nothing_is_reserved_and_no_ray_is_started(monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda: pytest.fail("a Ray was started"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert str(reserved.reserved_device()) == "cpu"


@pytest.mark.parametrize(("gpus", "tp", "words"), [(1, 1, "1 GPU"), (1, 2, "2 x 1 GPU on one node"), (0, 1, "1 CPU")])
def test_a_replica_asks_for_what_it_says_and_for_nothing_else(gpus, tp, words):
    assert needs(Teacher(gpus=gpus, tp=tp)) == words
    asked = {f"num_{kind.lower()}s": number for kind, number in reserved.resources(gpus).items()}
    assert {"num_cpus": 0, "num_gpus": 0} | asked == reserved.options(gpus)


def test_no_actor_uses_a_gpu_because_torch_finds_one():
    asking = {file.name for file in Path(ROOT, "actors").rglob("*.py") if FOUND.search(file.read_text())}
    assert asking == {"reserved.py"}
