"""Low-rank adapters on a frozen student (LoRA): the other mode of the same trainer.

A chosen linear layer of weight W computes ``W x + scale B A x``; only A and B are trained. They are modules inside the
model, put there from outside, so that sharding, clipping, optimizer and checkpoints see weights like any others.

Shape letters: R rank, I O inputs and outputs of a layer.
"""

import hashlib
import math
from collections.abc import Mapping
from typing import Any, cast

import torch
from diffusers import WanTransformer3DModel
from torch import Tensor, nn

from v4e.config import Lora
from v4e.models.dtype import dtype_of

PARTS = ("lora_A", "lora_B")


def start_dtype(lora: Lora, dtype: torch.dtype) -> torch.dtype:
    """Returns the dtype to read the start weights in: masters are float32, a frozen base is kept in `dtype`."""
    return dtype if lora.rank else torch.float32


def trainable(dit: WanTransformer3DModel, lora: Lora, dtype: torch.dtype, seed: int) -> WanTransformer3DModel:
    """`dit` with float32 masters of all that is to be trained: its weights, or with ``lora.rank`` > 0 its adapters.

    Then its own weights are frozen and kept in `dtype`, but for those that diffusers keeps in float32.
    """
    if lora.rank == 0:
        return dit.float().requires_grad_(True)
    dit.requires_grad_(False)
    for name, parameter in dit.named_parameters():
        parameter.data = parameter.data.to(dtype_of(name, dtype))
    device = dit.patch_embedding.weight.device
    for name, parameter in add_adapters(dit, lora).items():
        value = start_value(name, tuple(parameter.shape), seed).to(device)
        path, _, leaf = name.rpartition(".")
        setattr(dit.get_submodule(path), leaf, nn.Parameter(value))
    return dit


def add_adapters(dit: WanTransformer3DModel, lora: Lora) -> dict[str, nn.Parameter]:
    """Puts adapters on the layers of `dit` that ``lora.targets`` name; their weights, on the meta device, by name.

    A layer's own weight is called ``<layer>.base_layer.weight`` from now on.

    Raises:
        ValueError: a target names no linear layer.
    """
    from peft import LoraConfig, inject_adapter_in_model  # a second that only runs with adapters need

    layers, alpha = adapted_layers(dit, lora.targets), lora.alpha or lora.rank
    # No dropout: it would be noise that is no function of the seed and the step.
    settings = LoraConfig(r=lora.rank, lora_alpha=alpha, target_modules=layers, lora_dropout=0.0)
    inject_adapter_in_model(settings, dit, low_cpu_mem_usage=True)
    return {name: parameter for name, parameter in dit.named_parameters() if is_adapter(name)}


def start_value(name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    """Draws the start of the adapter weight `name`: A (R, I) uniform in +-1 / sqrt(I) as in peft, B (O, R) zero.

    A pure function of its arguments: any worker makes the same, alone and in any order.
    """
    if ".lora_B." in name:
        return torch.zeros(shape)
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest) >> 1)
    bound = 1 / math.sqrt(shape[1])
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


def is_adapter(name: str) -> bool:
    """Returns whether a weight of this name belongs to an adapter."""
    return any(f".{part}." in name for part in PARTS)


def base_name(name: str) -> str:
    """Returns diffusers' name of the weight that is called `name` in a model with adapters."""
    return name.replace(".base_layer.", ".")


def adapter_names(weight: str) -> tuple[str, str]:
    """Returns the names of A and B on the layer whose own weight diffusers calls `weight`."""
    layer = weight.removesuffix(".weight")
    a, b = (f"{layer}.{part}.default.weight" for part in PARTS)
    return a, b


def merged(weight_OI: Tensor, a_RI: Tensor, b_OR: Tensor, scale: float) -> Tensor:
    """The weight (O, I) in float32 of a layer that computes what this layer and its adapter do."""
    return torch.addmm(weight_OI.float(), b_OR.float(), a_RI.float(), alpha=scale)


def adapted_layers(dit: nn.Module, targets: tuple[str, ...]) -> list[str]:
    """Names of the linear layers in the blocks of `dit` that end in one of `targets`, whole words.

    Raises:
        ValueError: none ends in one of them; names those that there are.
    """
    linear = [name for name, m in dit.named_modules() if isinstance(m, nn.Linear) and name.startswith("blocks.")]
    for target in targets:
        if not any(name.endswith(f".{target}") for name in linear):
            there = sorted({name.split(".", 2)[2] for name in linear})
            raise ValueError(
                f"lora.targets: {target} names no linear layer in the student's blocks: expected among "
                f"{', '.join(there)}, or the end of such a name"
            )
    return [name for name in linear if name.endswith(tuple(f".{target}" for target in targets))]


def check_targets(lora: Lora, dit_config: Mapping[str, Any]) -> None:
    """Refuses ``lora.targets`` that the student of this config.json has not; one block says it for all.

    Raises:
        ValueError: naming those that there are.
    """
    from accelerate import init_empty_weights

    with init_empty_weights():
        dit = cast(nn.Module, WanTransformer3DModel.from_config(dict(dit_config) | {"num_layers": 1}))
    adapted_layers(dit, lora.targets)
