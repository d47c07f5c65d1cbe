"""A transformer in the layout that Wan published first, as a diffusers pipeline folder.

Wan-AI/Wan2.1-I2V-14B-720P and its like hold the transformer in safetensors under names of its own, beside encoders as
pickles. Only safetensors are read: the encoders, which are the same, are copied from a diffusers pipeline. Weights go
over one file at a time.
"""

import json
import shutil
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import init_empty_weights
from diffusers import WanTransformer3DModel

from v4e.files.uri import read_json
from v4e.models.dtype import dtype_of
from v4e.models.sizes import WAN14B_I2V
from v4e.weights.export import INDEX, Tensors, replacing, write_sharded
from v4e.weights.hub import ORIGINAL, TRANSFORMER, local_folder
from v4e.weights.names import original_name
from v4e.weights.single import read_names, read_weight

IMAGES = {"i2v": None, "flf2v": 514}  # of a model's type, the tokens of its two images where it has two


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

    Both are folders or hub ids; `original` may be one file as well, as ComfyUI loads it, of the family of `encoders`.
    Modules that diffusers keeps in float32 stay so in every `dtype`.

    Raises:
        FileNotFoundError: one of them is not to be had.
        ValueError: `original` is no such model, or its weights are not those that its config.json asks for.
    """
    single = Path(original).suffix == ".safetensors"
    if single:
        source = Path(original)
        settings = dit_config_of(local_folder(encoders, TRANSFORMER[:1]))
    else:
        source = local_folder(original, ("*.json", "*.safetensors"))
        settings = transformer_config(read_json(str(source / "config.json")))
    rest = local_folder(encoders, ignore=("transformer/*",))
    if not (rest / INDEX).exists():
        raise FileNotFoundError(f"{encoders} has no {INDEX}: expected a diffusers pipeline to copy the encoders from")
    with init_empty_weights():
        empty = cast(WanTransformer3DModel, WanTransformer3DModel.from_config(settings))
    shapes = {name: parameter.shape for name, parameter in empty.named_parameters()}
    where = read_names([source] if single else sorted(source.glob("*.safetensors")))
    expected = {original_name(name): shape for name, shape in shapes.items()}
    stored = {name: one.shape for name, one in where.items()}
    if stored != expected:
        wrong = sorted(n for n in stored.keys() | expected.keys() if stored.get(n) != expected.get(n))
        raise ValueError(
            f"{source} is not of {'the family of ' + encoders if single else 'its config.json'}: {len(wrong)} weights "
            f"differ, the first is {wrong[0]}, {stored.get(wrong[0])} where {expected.get(wrong[0])} is asked for"
        )

    def read(layout: Tensors) -> Tensors:
        return {name: read_weight(where[original_name(name)]).to(like.dtype) for name, like in layout.items()}

    layout = {name: torch.empty(shape, dtype=dtype_of(name, dtype), device="meta") for name, shape in shapes.items()}
    with replacing(out) as part:
        shutil.copytree(rest, part, ignore=shutil.ignore_patterns("transformer", "*.md", ".*"))
        (part / "transformer").mkdir()
        (part / "transformer" / "config.json").write_text(json.dumps(settings, indent=2) + "\n")
        write_sharded(part / "transformer", layout, read, shard_bytes)


def dit_config_of(pipeline: Path) -> dict[str, Any]:
    """config.json of the transformer in a pipeline folder.

    Raises:
        FileNotFoundError: it has none.
    """
    path = pipeline / "transformer" / "config.json"
    if not path.exists():
        raise FileNotFoundError(f"{pipeline} has no transformer/config.json, which says what a single file holds")
    return read_json(str(path))
