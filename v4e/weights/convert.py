"""A transformer in the layout that Wan published first, as a diffusers pipeline folder.

Wan-AI/Wan2.1-I2V-14B-720P and its like hold the transformer in safetensors under names of its own, beside encoders as
pickles. Only safetensors are read: the encoders, which are the same, are copied from a diffusers pipeline. Weights go
over one file at a time.
"""

import json
import re
import shutil
from typing import Any, cast

import torch
from accelerate import init_empty_weights
from diffusers import WanTransformer3DModel
from safetensors import safe_open

from v4e.models.dtype import dtype_of
from v4e.models.sizes import WAN14B_I2V
from v4e.weights.export import INDEX, Tensors, replacing, write_sharded
from v4e.weights.hub import ORIGINAL, local_folder

IMAGES = {"i2v": None, "flf2v": 514}  # of a model's type, the tokens of its two images where it has two
# Ours to theirs, in the order of diffusers' modules. Norms of a block are counted differently.
OUTSIDE = {
    "patch_embedding": "patch_embedding",
    "condition_embedder.time_embedder.linear_1": "time_embedding.0",
    "condition_embedder.time_embedder.linear_2": "time_embedding.2",
    "condition_embedder.time_proj": "time_projection.1",
    "condition_embedder.text_embedder.linear_1": "text_embedding.0",
    "condition_embedder.text_embedder.linear_2": "text_embedding.2",
    "condition_embedder.image_embedder.norm1": "img_emb.proj.0",
    "condition_embedder.image_embedder.ff.net.0.proj": "img_emb.proj.1",
    "condition_embedder.image_embedder.ff.net.2": "img_emb.proj.3",
    "condition_embedder.image_embedder.norm2": "img_emb.proj.4",
    "proj_out": "head.head",
}
ALONE = {  # parameters of no module of their own
    "condition_embedder.image_embedder.pos_embed": "img_emb.emb_pos",
    "scale_shift_table": "head.modulation",
}
IN_BLOCK = {"norm2": "norm3", "ffn.net.0.proj": "ffn.0", "ffn.net.2": "ffn.2"}
ATTENTIONS = {"attn1": "self_attn", "attn2": "cross_attn"}
IN_ATTENTION = {
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "o",
    "norm_q": "norm_q",
    "norm_k": "norm_k",
    "add_k_proj": "k_img",
    "add_v_proj": "v_img",
    "norm_added_k": "norm_k_img",
}


def original_name(name: str) -> str:
    """Returns the original's name of the parameter that diffusers calls `name`.

    Raises:
        KeyError: it is none of Wan's.
    """
    if name in ALONE:
        return ALONE[name]
    block = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
    if block is None:
        module, _, leaf = name.rpartition(".")
        return f"{OUTSIDE[module]}.{leaf}"
    number, rest = block.groups()
    if rest == "scale_shift_table":
        return f"blocks.{number}.modulation"
    module, _, leaf = rest.rpartition(".")
    attention, _, inner = module.partition(".")
    theirs = f"{ATTENTIONS[attention]}.{IN_ATTENTION[inner]}" if attention in ATTENTIONS else IN_BLOCK[module]
    return f"blocks.{number}.{theirs}.{leaf}"


def transformer_config(original: dict[str, Any]) -> dict[str, Any]:
    """diffusers' config.json of the transformer from the original's.

    Raises:
        ValueError: it is no image-to-video model of Wan2.1.
    """
    kind = original.get("model_type")
    if original.get("_class_name") != ORIGINAL or kind not in IMAGES:
        raise ValueError(
            f"config.json is of {original.get('_class_name')} with model_type {kind}: expected {ORIGINAL} with "
            f"{' or '.join(IMAGES)}, as in Wan-AI/Wan2.1-I2V-14B-720P"
        )
    return {
        **WAN14B_I2V,
        "_class_name": "WanTransformer3DModel",
        "num_attention_heads": original["num_heads"],
        "attention_head_dim": original["dim"] // original["num_heads"],
        "added_kv_proj_dim": original["dim"],
        "in_channels": original["in_dim"],
        "out_channels": original["out_dim"],
        "ffn_dim": original["ffn_dim"],
        "freq_dim": original["freq_dim"],
        "num_layers": original["num_layers"],
        "eps": original["eps"],
        "pos_embed_seq_len": IMAGES[kind],
    }


def convert(original: str, encoders: str, out: str, *, dtype: torch.dtype, shard_bytes: int = 2 * 10**9) -> None:
    """Writes the pipeline folder `out`: the transformer of `original`, all else from the diffusers pipeline `encoders`.

    Both are folders or hub ids. Modules that diffusers keeps in float32 stay so in every `dtype`.

    Raises:
        FileNotFoundError: one of them is not to be had.
        ValueError: `original` is no such model, or its weights are not those that its config.json asks for.
    """
    source = local_folder(original, ("*.json", "*.safetensors"))
    settings = transformer_config(json.loads((source / "config.json").read_text()))
    rest = local_folder(encoders, ignore=("transformer/*",))
    if not (rest / INDEX).exists():
        raise FileNotFoundError(f"{encoders} has no {INDEX}: expected a diffusers pipeline to copy the encoders from")
    with init_empty_weights():
        empty = cast(WanTransformer3DModel, WanTransformer3DModel.from_config(settings))
    shapes = {name: parameter.shape for name, parameter in empty.named_parameters()}
    where, stored = {}, {}
    for file in sorted(source.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118, it is no dict
                where[name], stored[name] = file, torch.Size(opened.get_slice(name).get_shape())
    expected = {original_name(name): shape for name, shape in shapes.items()}
    if stored != expected:
        wrong = sorted(n for n in stored.keys() | expected.keys() if stored.get(n) != expected.get(n))
        raise ValueError(
            f"{source} is not of its config.json: {len(wrong)} weights differ, the first is {wrong[0]}, "
            f"{stored.get(wrong[0])} where {expected.get(wrong[0])} is asked for"
        )

    def read(layout: Tensors) -> Tensors:
        tensors = {}
        for name, like in layout.items():
            with safe_open(where[original_name(name)], framework="pt") as opened:
                tensors[name] = opened.get_tensor(original_name(name)).to(like.dtype)
        return tensors

    layout = {name: torch.empty(shape, dtype=dtype_of(name, dtype), device="meta") for name, shape in shapes.items()}
    with replacing(out) as part:
        shutil.copytree(rest, part, ignore=shutil.ignore_patterns("transformer", "*.md", ".*"))
        (part / "transformer").mkdir()
        (part / "transformer" / "config.json").write_text(json.dumps(settings, indent=2) + "\n")
        write_sharded(part / "transformer", layout, read, shard_bytes)
