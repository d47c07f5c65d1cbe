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

    The same kernel on the same device as AdamW's: the numbers are AdamW's to the bit. It takes one group of
    parameters. A step moves 16 bytes a parameter over the bus.
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
        """As AdamW's, which brings the moments to the device: they are there together, before they go to rest."""
        super().load_state_dict(state_dict)
        for parameter in self.param_groups[0]["params"]:
            self._move(parameter, torch.device("cpu"))

    def _move(self, parameter: Tensor, device: torch.device) -> None:
        state = self.state[parameter]
        for name in MOMENTS:
            if name in state:  # none before the first step, nor of a parameter without a gradient
                state[name] = state[name].to(device)
