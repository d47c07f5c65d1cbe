"""GGUF files of a DiT's weights, packed as a test wants them."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from torch import Tensor


def in_blocks(name: str, weight: Tensor) -> bool:
    """Returns whether a weight is one that such files have packed: a matrix of a block."""
    return name.startswith("blocks.") and weight.ndim == 2 and weight.shape[-1] % 32 == 0


def write_gguf(
    file: Path, weights: Mapping[str, Tensor], kind: str = "Q8_0", packs: Callable[[str, Tensor], bool] = in_blocks
) -> str:
    """Writes `weights`, those that `packs` chooses in the quantization `kind`, and returns the path."""
    gguf = pytest.importorskip("gguf")
    writer, kind = gguf.GGUFWriter(str(file), "wan"), gguf.GGMLQuantizationType[kind]
    for name, weight in weights.items():
        if packs(name, weight):
            writer.add_tensor(name, gguf.quants.quantize(weight.numpy(), kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, weight.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return str(file)
