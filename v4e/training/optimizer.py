"""AdamW, with its moments on the device or in host memory."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from v4e.config import Optim

MOMENTS = ("exp_avg", "exp_avg_sq")


def build_optimizer(parameters: Iterable[Tensor], optim: Optim, *, offload: bool) -> torch.optim.AdamW:
    """Fused AdamW as `optim` sets it; with `offload` its moments rest in host memory."""
    return (HostAdamW if offload else torch.optim.AdamW)(
        parameters,
        lr=optim.lr,
        betas=(optim.beta1, optim.beta2),
        weight_decay=optim.weight_decay,
        fused=True,
    )


class HostAdamW(torch.optim.AdamW):
    """AdamW whose moments rest in host memory and visit their parameter's device one parameter at a time.

    It runs AdamW's kernel on AdamW's device: the numbers are AdamW's to the bit. It takes one group of parameters. A
    step moves 16 bytes a parameter over the bus.

    torchao 0.18's ``CPUOffloadOptimizer`` was compared and left out. It copies gradients in a hook of the backward, so
    clipping comes too late, and a step cannot be skipped. It also keeps weights and gradients in host memory, updates
    on the CPU, and needs CUDA. Its state is one list of states, which DCP cannot reshard.
    """

    def step(self, closure: None = None) -> None:
        [group] = self.param_groups
        parameters = group["params"]
        try:
            for parameter in parameters:
                group["params"] = [parameter]
                self._move(parameter, parameter.device)
                super().step()
                self._move(parameter, torch.device("cpu"))
        finally:
            group["params"] = parameters

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Loads as AdamW does, which brings all moments to the device together, and then moves them to the host."""
        super().load_state_dict(state_dict)
        for parameter in self.param_groups[0]["params"]:
            self._move(parameter, torch.device("cpu"))

    def _move(self, parameter: Tensor, device: torch.device) -> None:
        state = self.state[parameter]
        for name in MOMENTS:
            if name in state:  # none before the first step, nor of a parameter without a gradient
                state[name] = state[name].to(device)
