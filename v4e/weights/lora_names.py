"""LoRAs in the names of diffusers, ComfyUI, kohya and musubi: read from any of them, and written for each.

Shape letters: R rank, I O inputs and outputs of a layer.
"""

import json
import logging
from collections.abc import Mapping
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from v4e.faults import Fault
from v4e.weights.lora import PARTS
from v4e.weights.names import aliases, comfyui_layer, kohya_layer

log = logging.getLogger(__name__)
METADATA = "lora_adapter_metadata"  # in the header of files that diffusers writes: rank and alpha
ENDS = {  # of a name in a file, to what it is
    ".lora_A.weight": "A.weight",
    ".lora_A.default.weight": "A.weight",
    ".lora_down.weight": "A.weight",
    ".lora.down.weight": "A.weight",
    ".lora_B.weight": "B.weight",
    ".lora_B.default.weight": "B.weight",
    ".lora_up.weight": "B.weight",
    ".lora.up.weight": "B.weight",
    ".lora_B.bias": "B.bias",
    ".diff_b": "B.bias",
    ".alpha": "alpha",
}
OTHERS = ("dora_scale", "lora_magnitude_vector", "hada_", "lokr_", "oft_", "diff_m")  # in names of what is no LoRA
FAMILIES = "expected a LoRA of this model in the names of diffusers, ComfyUI, kohya or musubi"


class LoraFile(NamedTuple):
    """The weights of a LoRA in diffusers' names, and what diffusers wrote of rank and alpha."""

    state: dict[str, Tensor]
    metadata: dict | None


def read_lora(path: str, layers: Mapping[str, nn.Linear], told: str) -> LoraFile:
    """Reads a LoRA for the linear `layers` of a transformer, by their names in diffusers.

    A scale of alpha / rank that is not 1 is multiplied into B. `told` says whose file it is, for errors.

    Raises:
        Fault: it is no safetensors file, or no LoRA of these layers; names the first weight that does not fit.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict
    except (SafetensorError, OSError) as error:
        raise Fault("T19", f"{told}: {path} cannot be read ({error})") from error
    known = {alias: layer for layer in layers for alias in aliases(layer)}
    found: dict[str, dict[str, Tensor]] = {}
    for name, weight in stored.items():
        end = next((end for end in ENDS if name.endswith(end)), "")
        layer = known.get(name.removesuffix(end)) if end else None
        if layer is not None:
            found.setdefault(layer, {})[ENDS[end]] = weight
        elif name.endswith(".diff") and weight.ndim == 1:
            log.warning("%s: %s holds %s, a changed norm, which is left out", told, path, name)
        else:
            kind = "no plain LoRA" if any(word in name for word in OTHERS) else "no LoRA weight"
            raise Fault("T19", f"{told}: {path} holds {name}, which is {kind} of this model's transformer: {FAMILIES}")
    if not found:
        raise Fault("T19", f"{told}: {path} holds no weights: {FAMILIES}")
    state = {}
    for layer, parts in found.items():
        _check(parts, layers[layer], f"{told}: {path}: {layer}")
        scale = float(parts["alpha"]) / parts["A.weight"].shape[0] if "alpha" in parts else 1.0
        for part in ("A.weight", "B.weight", "B.bias"):
            if part in parts:
                weight = parts[part].float() if parts[part].dtype.itemsize == 1 else parts[part]
                scaled = part == "B.weight" and scale != 1
                state[f"transformer.{layer}.lora_{part}"] = weight.float() * scale if scaled else weight
    alphas = any("alpha" in parts for parts in found.values())
    return LoraFile(state, json.loads(header[METADATA]) if METADATA in header and not alphas else None)


def _check(parts: Mapping[str, Tensor], layer: nn.Linear, told: str) -> None:
    """Refuses parts that make no LoRA of a layer."""
    if missing := {"A.weight", "B.weight"} - parts.keys():
        raise Fault("T19", f"{told} has no lora_{min(missing)}: the file is not complete, export it again")
    a_RI, b_OR, bias = parts["A.weight"], parts["B.weight"], parts.get("B.bias")
    alpha = parts.get("alpha", torch.ones(1))
    wide = a_RI.ndim == b_OR.ndim == 2 and (a_RI.shape[1], b_OR.shape[0]) == (layer.in_features, layer.out_features)
    if not wide or a_RI.shape[0] != b_OR.shape[1] or (bias is not None and tuple(bias.shape) != (layer.out_features,)):
        raise Fault(
            "T19",
            f"{told} has weights {tuple(a_RI.shape)} and {tuple(b_OR.shape)}, the model's layer is {layer.in_features} "
            f"to {layer.out_features} wide: expected a LoRA that was trained on this model",
        )
    if alpha.numel() != 1 or not torch.isfinite(alpha.float()).all() or not a_RI.is_floating_point():
        raise Fault("T19", f"{told} has an alpha of {alpha.tolist()} or weights of {a_RI.dtype}: {FAMILIES}")


def comfyui_lora(adapters: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """The `adapters` of a checkpoint in the names that ComfyUI gives a model's layers, with their alpha."""
    return _named(adapters, alpha, comfyui_layer, ("lora_A", "lora_B"))


def kohya_lora(adapters: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """The `adapters` of a checkpoint in the names of kohya and musubi, which ComfyUI reads too, with their alpha."""
    return _named(adapters, alpha, kohya_layer, ("lora_down", "lora_up"))


def _named(adapters: Mapping[str, Tensor], alpha: float, name_of, parts: tuple[str, str]) -> dict[str, Tensor]:
    found = {}
    for name, weight in adapters.items():
        ours = next(part for part in PARTS if f".{part}." in name)
        layer = name_of(name.partition(f".{ours}.")[0])
        found[f"{layer}.{parts[PARTS.index(ours)]}.weight"] = weight
        found[f"{layer}.alpha"] = torch.tensor(float(alpha))
    return found
