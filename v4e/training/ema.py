"""The moving average of a model's weights, sharded as the model is."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import Module

from v4e.parallel.local import local


def warmed_up(decay: float, n: int) -> float:
    """Returns the decay of the update after `n` others: small at first, so that the start weights are forgotten."""
    return min(decay, (1 + n) / (10 + n))


class EMA:
    """``shadow <- d shadow + (1 - d) weights`` with ``d = min(decay, (1 + n) / (10 + n))`` after n updates.

    Only trainable weights are averaged: a frozen one is its own average.

    The average is float32: at decay 0.9999 a step is below bfloat16's resolution. Each rank averages its own shard, so
    an update needs no communication.
    """

    def __init__(self, model: Module, decay: float) -> None:
        self.decay = decay
        self.shadow = {name: p.detach().clone().float() for name, p in model.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def update(self, parameters: Iterable[Tensor], n: int) -> None:
        """Takes in the weights after update number `n`, counted from 0."""
        decay = warmed_up(self.decay, n)
        shadow = [local(tensor) for tensor in self.shadow.values()]
        torch._foreach_lerp_(shadow, [local(p.detach()) for p in parameters], 1 - decay)
