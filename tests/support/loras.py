"""Random LoRAs of the tiny family, in files as save_lora_weights writes them."""

from pathlib import Path

import torch
from diffusers import WanTransformer3DModel
from safetensors.torch import save_file

LAYERS = ("attn1.to_q", "attn2.to_k", "attn2.to_v", "attn2.add_k_proj", "ffn.net.0.proj")


def write_lora(dit: WanTransformer3DModel, path: Path, seed: int, rank: int = 3) -> str:
    """Writes one for some layers of every block, those of the cached keys and values among them; returns the path."""
    generator, weights = torch.Generator().manual_seed(seed), {}
    for name in (f"blocks.{block}.{layer}" for block in range(len(dit.blocks)) for layer in LAYERS):
        layer = dit.get_submodule(name)
        layer = getattr(layer, "base_layer", layer)
        for part, shape in (("A", (rank, layer.in_features)), ("B", (layer.out_features, rank))):
            weights[f"transformer.{name}.lora_{part}.weight"] = torch.randn(shape, generator=generator) * 0.1
    save_file(weights, path, metadata={"format": "pt"})
    return str(path)
