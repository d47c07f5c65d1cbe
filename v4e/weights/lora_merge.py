"""LoRAs that are added to weights as these are read: each reader adds to the rows that it holds, and to no others.

A setting names them as FILE or FILE:WEIGHT.

Shape letters: R rank, I O inputs and outputs of a layer.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from diffusers import WanTransformer3DModel
from torch import Tensor, nn

from v4e.faults import Fault
from v4e.weights.hub import lora_file, named_loras
from v4e.weights.lora import merged
from v4e.weights.lora_files import read as read_file


class AddedWeights(NamedTuple):
    """The change that a LoRA makes to a weight, or with an `a_RI` of None to a bias."""

    a_RI: Tensor | None
    b: Tensor  # (O, R), of a bias (O,)
    scale: float


Changes = Mapping[str, Sequence[AddedWeights]]  # of weights by diffusers' names

NO_CHANGES: Changes = {}


def read_changes(dit: WanTransformer3DModel, setting: Sequence[str], key: str) -> Changes:
    """The changes that the LoRAs of the setting `key` make to the weights of `dit`, which may lie on the meta device.

    Raises:
        FileNotFoundError: a file is not there.
        Fault: one is no LoRA of this DiT, or its weight is no number.
    """
    found: defaultdict[str, list[AddedWeights]] = defaultdict(list)
    for file, weight in named_loras(setting, key):
        state, metadata = read_file(dit, key, file)
        for name, b in state.items():
            layer, _, part = name.removeprefix("transformer.").rpartition(".lora_")
            if part.startswith("B."):
                a_RI = state[f"transformer.{layer}.lora_A.weight"]
                scale = weight * _scale(layer, a_RI.shape[0], metadata)
                bias = part == "B.bias"
                if bias and dit.get_submodule(layer).bias is None:
                    raise Fault("T19", f"{key}: {lora_file(file)} has a bias for {layer}, which has none in the model")
                found[f"{layer}.{'bias' if bias else 'weight'}"].append(AddedWeights(None if bias else a_RI, b, scale))
    return found


def _scale(layer: str, rank: int, metadata: Mapping[str, Any] | None) -> float:
    """The factor of B A by what diffusers wrote into the file's header, as peft reads it."""
    if metadata is None:
        return 1.0
    from peft.utils.other import get_pattern_key

    said = {key.removeprefix("transformer."): value for key, value in metadata.items()}
    patterns = said.get("alpha_pattern") or {}
    alpha = patterns.get(get_pattern_key(list(patterns), layer), said.get("lora_alpha", rank))
    return alpha / (math.sqrt(rank) if said.get("use_rslora") else rank)


def changed(weight: Tensor, changes: Sequence[AddedWeights], rows: slice = slice(None)) -> Tensor:
    """The `rows` of a weight in float32 with what `changes` add to them; without any, `weight` itself."""
    for a_RI, b, scale in changes:
        own = b[rows].to(weight.device)
        if a_RI is None:
            weight = weight.float() + scale * own.float()
        else:
            weight = merged(weight, a_RI.to(weight.device), own, scale)
    return weight


@torch.no_grad()
def add_changes(dit: nn.Module, changes: Changes, read: Callable[[str], Tensor]) -> None:
    """Gives `dit` the weights that `read` finds in its files, with the changes added before they are rounded."""
    for name in changes:
        dit.get_parameter(name).copy_(changed(read(name), changes[name]))
