"""AdamW, with its moments on the device or in host memory."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor.experimental import implicit_replication

from v4e.config import Optim
from v4e.parallel.local import like, local
from v4e.training.lane import Lane

MOMENTS = ("exp_avg", "exp_avg_sq")
SLOTS = 3  # parameters whose moments are on the device: of one they arrive, of one they are used, of one they leave


def build_optimizer(parameters: Iterable[Tensor], optim: Optim, *, offload: bool) -> torch.optim.AdamW:
    """Fused AdamW as `optim` sets it; with `offload` its moments rest in host memory."""
    return (HostAdamW if offload else AdamW)(
        parameters,
        lr=optim.lr,
        betas=(optim.beta1, optim.beta2),
        weight_decay=optim.weight_decay,
        fused=True,
    )


class AdamW(torch.optim.AdamW):
    """AdamW of parameters of which FSDP shards some, and others are whole on each rank."""

    def step(self, closure: None = None) -> None:
        with implicit_replication():
            super().step()


class HostAdamW(AdamW):
    """AdamW whose moments rest in host memory and visit their parameter's device one parameter at a time.

    It runs AdamW's kernel on AdamW's device: the numbers are AdamW's to the bit. It takes one group of parameters. A
    step moves 16 bytes a parameter over the bus, from and into pinned memory that is made once. Both ways and the
    kernels run at once; the host waits for none of them.

    torchao 0.18's ``CPUOffloadOptimizer`` was compared and left out. It copies gradients in a hook of the backward, so
    clipping comes too late, and a step cannot be skipped. It also keeps weights and gradients in host memory, updates
    on the CPU, and needs CUDA. Its state is one list of states, which DCP cannot reshard.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        [group] = self.param_groups
        parameters = group["params"]
        trained = [parameter for parameter in parameters if parameter.grad is not None]
        for parameter in trained:
            if not self.state[parameter]:  # as AdamW starts
                self.state[parameter] = {"step": torch.zeros((), device=parameter.device)}
                self.state[parameter] |= {name: at_rest(parameter) for name in MOMENTS}
        try:
            for parameter, visitors in visiting(trained, self.state):
                state = self.state[parameter]
                resting = {name: state[name] for name in MOMENTS}
                group["params"] = [parameter]
                state.update(visitors)
                super().step()
                state.update(resting)
        finally:
            group["params"] = parameters

    def state_dict(self) -> dict[str, Any]:
        """Returns AdamW's state, with moments that are back on the host."""
        for device in {parameter.device for parameter in self.state}:
            Lane.computing(device).finish()
        return super().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Loads as AdamW does, but moments into host memory: AdamW would bring all of them to the device together."""
        [group], [saved] = self.param_groups, state_dict["param_groups"]
        before, states = dict(self.state), state_dict["state"]
        others = {key: {name: state[name] for name in state if name not in MOMENTS} for key, state in states.items()}
        super().load_state_dict(state_dict | {"state": others})
        for parameter, key in zip(group["params"], saved["params"], strict=True):
            for name in MOMENTS:
                if name in states.get(key, ()):
                    rest = before.get(parameter, {}).get(name)
                    resting = at_rest(parameter) if rest is None else rest
                    self.state[parameter][name] = resting.copy_(states[key][name])


def at_rest(parameter: Tensor) -> Tensor:
    """Zeros in host memory, sharded as `parameter`; pinned where it lies on a GPU."""
    return torch.zeros_like(parameter, device="cpu", pin_memory=parameter.device.type == "cuda", requires_grad=False)


def visiting(
    parameters: Sequence[Tensor], states: dict[Tensor, dict[str, Tensor]]
) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """Yields each parameter with its moments on its device, by name, and takes them home when it is asked for the next.

    Those of the next parameter arrive meanwhile. The device holds `SLOTS` times the largest parameter's moments.
    """
    if not parameters:
        return
    device = parameters[0].device
    here, way_in, way_out = Lane.computing(device), Lane.of(device), Lane.of(device)
    most = max(local(parameter).numel() for parameter in parameters)
    slots = torch.empty(SLOTS, len(MOMENTS), most, device=device)
    arrived: list[torch.cuda.Event | None] = [None] * len(parameters)
    left = arrived.copy()
    way_in.after(here.mark())  # and with it after the step before, whose moments are home by then

    def views(n: int) -> list[Tensor]:
        part = local(parameters[n])
        return [slot[: part.numel()].view(part.shape) for slot in slots[n % SLOTS]]

    def fetch(n: int) -> None:
        if n >= SLOTS:
            way_in.after(left[n - SLOTS])
        for name, view in zip(MOMENTS, views(n), strict=True):
            way_in.copy(view, local(states[parameters[n]][name]))
        arrived[n] = way_in.mark()

    fetch(0)
    for n, parameter in enumerate(parameters):
        if n + 1 < len(parameters):
            fetch(n + 1)
        here.after(arrived[n])
        yield parameter, {name: like(parameter, view) for name, view in zip(MOMENTS, views(n), strict=True)}
        way_out.after(here.mark())
        for name, view in zip(MOMENTS, views(n), strict=True):
            way_out.copy(local(states[parameter][name]), view)
        left[n] = way_out.mark()
    here.after(left[-1])  # then the slots' memory is free for others
