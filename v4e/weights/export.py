"""A checkpoint as a diffusers pipeline folder, or as a diffusers LoRA file.

Weights go from the checkpoint to safetensors one file after the other: an export takes the memory of one such file,
however large the model is. Export checkpoints of your own runs only: their metadata is a pickle.

Shape letters: O I a layer's outputs and inputs.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Literal, cast

import torch
import torch.distributed.checkpoint as dcp
from diffusers import WanTransformer3DModel
from diffusers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFETENSORS_WEIGHTS_NAME
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from v4e.compat import FsspecReader
from v4e.config import Lora
from v4e.files.uri import exists
from v4e.models.dtype import dtype_of
from v4e.models.positions import CHRONOEDIT, SKIP
from v4e.models.stock import WanImageToVideoPipeline
from v4e.weights.hub import local_folder
from v4e.weights.lora import adapter_names, is_adapter, merged
from v4e.weights.lora_merge import Changes, changed, read_changes
from v4e.weights.lora_names import comfyui_lora, kohya_lora
from v4e.weights.shard import empty_dit, read_part, weight_files

INDEX = "model_index.json"
COMFYUI, KOHYA = "comfyui.safetensors", "kohya.safetensors"  # the same LoRA, beside diffusers' file
Weights = Literal["model", "ema"]  # parts of a checkpoint: as trained, and their moving average
Tensors = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]


def export_pipeline(
    checkpoint: str,
    base: str,
    out: str,
    *,
    weights: Weights,
    dtype: torch.dtype,
    shard_bytes: int,
    lora: Lora,
    card: str,
    positions: tuple[int, ...] = (),
    start: tuple[str, ...] = (),
    loras: tuple[str, ...] = (),
) -> None:
    """Writes a pipeline folder that ``WanImageToVideoPipeline.from_pretrained`` and ``Editor.load`` read.

    The DiT comes from `checkpoint`; all else is copied from the pipeline `base` (folder or hub id) that the student
    started from. Adapters, trained under the settings `lora`, are merged into base's weights. Modules that diffusers
    keeps in float32 stay so in every `dtype`. `start` are the LoRAs that the student began with, ``models.lora``, and
    `loras` those to add now, ``export.loras``. A file holds up to `shard_bytes` of weights, or one that is larger.
    `card` becomes the README.md. With `positions` of two latent frames the transformer is of the class that has them.
    `out` is replaced when the new folder is complete.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: the checkpoint is not of a student that started from `base`.
    """
    saved = saved_shapes(checkpoint, weights)
    source = local_folder(base, ignore=("transformer/*.safetensors",))
    settings = cast(dict, WanTransformer3DModel.load_config(source / "transformer"))
    empty = empty_dit(str(source))
    shapes = {name: tuple(weight.shape) for name, weight in empty.state_dict().items()}
    expected = adapter_shapes(shapes, saved, lora.rank) if lora.rank else shapes
    if saved != expected:
        raise ValueError(
            f"{checkpoint} is not of {base} trained with lora.rank={lora.rank}: set models.student and lora.rank to "
            "what they were in training"
        )
    read = partial(read_whole, checkpoint, weights)
    if lora.rank:
        begun = read_changes(empty, start, "models.lora")
        read = partial(read_merged, checkpoint, weights, saved, weight_files(base), lora.scale, begun)
    read = partial(read_changed, read, read_changes(empty, loras, "export.loras"))
    layout = {name: torch.empty(shape, dtype=dtype_of(name, dtype), device="meta") for name, shape in shapes.items()}
    with replacing(out) as part:
        shutil.copytree(source, part, ignore=shutil.ignore_patterns("transformer", "*.md", ".*"))
        (part / "transformer").mkdir()
        settings.pop("_name_or_path", None)  # where it lay on the machine that wrote it
        if positions:
            settings |= {"_class_name": CHRONOEDIT, SKIP: positions[1] + 1}
            index = json.loads((part / INDEX).read_text())
            (part / INDEX).write_text(json.dumps(index | {"transformer": ["diffusers", CHRONOEDIT]}, indent=2) + "\n")
        (part / "transformer" / "config.json").write_text(json.dumps(settings, indent=2) + "\n")
        write_sharded(part / "transformer", layout, read, shard_bytes)
        (part / "README.md").write_text(card)


def export_lora(checkpoint: str, out: str, *, weights: Weights, lora: Lora, card: str) -> None:
    """Writes ``pytorch_lora_weights.safetensors``, which ``load_lora_weights`` of the pipeline reads, and `card`.

    There ``lora.scale`` is multiplied into B: then the file means the same to programs that take alpha for the rank.
    ``comfyui.safetensors`` and ``kohya.safetensors`` hold the same with alpha, in the names that those programs read.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: it is not of a LoRA run.
    """
    saved = saved_shapes(checkpoint, weights)
    if not all(is_adapter(name) for name in saved):
        raise ValueError(f"{checkpoint} holds a whole student, no adapters: expected one of a run with lora.rank > 0")
    adapters = {name: torch.empty(shape) for name, shape in saved.items()}
    load(checkpoint, weights, adapters)
    layers: dict[str, nn.Module | Tensor] = {
        name.replace(".default.", "."): adapter * lora.scale if ".lora_B." in name else adapter
        for name, adapter in adapters.items()
    }
    with replacing(out) as part:
        WanImageToVideoPipeline.save_lora_weights(part, transformer_lora_layers=layers)
        for file, named in ((COMFYUI, comfyui_lora), (KOHYA, kohya_lora)):
            save_file(named(adapters, lora.alpha or lora.rank), part / file, metadata={"format": "pt"})
        (part / "README.md").write_text(card)


def saved_shapes(checkpoint: str, weights: Weights) -> Shapes:
    """Names and shapes of the weights in a checkpoint.

    Raises:
        FileNotFoundError: there is no such checkpoint.
    """
    if not exists(checkpoint):
        raise FileNotFoundError(f"no checkpoint {checkpoint}: run pipelines/train.py first")
    entries = FsspecReader(checkpoint).read_metadata().state_dict_metadata
    prefix = f"{weights}."
    return {
        name.removeprefix(prefix): tuple(entry.size)
        for name, entry in entries.items()
        if name.startswith(prefix) and isinstance(entry, TensorStorageMetadata)
    }


def adapter_shapes(shapes: Shapes, saved: Iterable[str], rank: int) -> Shapes:
    """Names and shapes of adapters of `rank` on those weights (O, I) among `shapes` for which `saved` has any."""
    saved, expected = set(saved), {}
    for name, shape in shapes.items():
        a, b = adapter_names(name)
        if saved & {a, b}:
            expected |= {a: (rank, shape[1]), b: (shape[0], rank)}
    return expected


def load(checkpoint: str, weights: Weights, tensors: Tensors) -> None:
    """Fills `tensors` in place, each in its own dtype, whatever else the checkpoint holds."""
    dcp.load({weights: tensors}, storage_reader=FsspecReader(checkpoint), no_dist=True)


def read_whole(checkpoint: str, weights: Weights, layout: Tensors) -> Tensors:
    """The weights that `layout` describes, from a checkpoint that holds all of a student's."""
    tensors = {name: torch.empty_like(like, device="cpu") for name, like in layout.items()}
    load(checkpoint, weights, tensors)
    return tensors


def read_merged(
    checkpoint: str,
    weights: Weights,
    saved: Shapes,
    files: dict[str, Path],
    scale: float,
    begun: Changes,
    layout: Tensors,
) -> Tensors:
    """The weights that `layout` describes: the base's `files`, what was `begun` with, and the checkpoint's adapters."""
    wanted = {adapter for name in layout for adapter in adapter_names(name)}
    adapters = {name: torch.empty(shape) for name, shape in saved.items() if name in wanted}
    load(checkpoint, weights, adapters)
    tensors = {}
    for name, like in layout.items():
        weight = changed(read_part(files[name], name, 0, 1), begun.get(name, ()))
        a, b = adapter_names(name)
        if a in adapters:
            weight = merged(weight, adapters[a], adapters[b], scale)
        tensors[name] = weight.to(like.dtype)
    return tensors


def read_changed(read: Callable[[Tensors], Tensors], changes: Changes, layout: Tensors) -> Tensors:
    """The weights that `layout` describes, by `read`, with `changes` added before they are rounded."""
    tensors = read({name: like.float() if name in changes else like for name, like in layout.items()})
    for name in changes.keys() & tensors.keys():
        tensors[name] = changed(tensors[name], changes[name]).to(layout[name].dtype)
    return tensors


def write_sharded(folder: Path, layout: Tensors, read: Callable[[Tensors], Tensors], shard_bytes: int) -> None:
    """Writes what `read` makes of parts of `layout`, in files as diffusers names them, with an index if several."""
    pattern = SAFETENSORS_WEIGHTS_NAME.replace(".safetensors", "{suffix}.safetensors")
    plan = split_torch_state_dict_into_shards(layout, filename_pattern=pattern, max_shard_size=shard_bytes)
    for file, names in plan.filename_to_tensors.items():
        save_file(read({name: layout[name] for name in names}), folder / file, metadata={"format": "pt"})
    if plan.is_sharded:
        index = {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename}
        (folder / SAFE_WEIGHTS_INDEX_NAME).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


@contextmanager
def replacing(out: str) -> Iterator[Path]:
    """A path to build a folder at, which takes the place of `out`, a path or URI, when it is complete.

    On another filesystem than the machine's its ``model_index.json``, if it has one, comes last: without that it is no
    pipeline folder.
    """
    fs, path = url_to_fs(out)
    local = isinstance(fs, LocalFileSystem)
    part = Path(path).with_name(f".{Path(path).name}.part") if local else Path(mkdtemp(), "export")
    try:
        shutil.rmtree(part, ignore_errors=True)
        yield part
        if fs.exists(path):
            fs.rm(path, recursive=True)
        if local:
            part.rename(path)
            return
        files = sorted((file for file in part.rglob("*") if file.is_file()), key=lambda file: file.name == INDEX)
        for file in files:
            fs.put_file(str(file), f"{path}/{file.relative_to(part)}")
    finally:
        shutil.rmtree(part if local else part.parent, ignore_errors=True)
