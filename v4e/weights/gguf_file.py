"""A DiT whose weights a GGUF file has: quantized as the file says, and unpacked layer by layer as they compute."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import GGUFQuantizationConfig, WanTransformer3DModel
from torch import nn

from v4e.weights.names import original_name
from v4e.weights.shard import empty_dit
from v4e.weights.single import bare_name

SUFFIX, MAGIC = ".gguf", b"GGUF"  # of a file's name, and its first bytes
MOST_PARTS = 2**15  # numbers and words of a header; one of Wan 14B has some 10,000
DAMAGED = (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)


def check_gguf(file: str, folder: str, loras: bool) -> None:
    """Refuses, before a model is read, a file that is none, or one that cannot be used.

    `folder` is the pipeline that it goes into, and `loras` says whether there are adapters for it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it names the file and what was expected.
    """
    expected = f"expected the transformer of a Wan pipeline as {SUFFIX}"
    if find_spec("gguf") is None:
        raise ValueError(f"gguf={file} needs the package gguf: pip install -e '.[icg]', or leave it out")
    if not file.endswith(SUFFIX):
        raise ValueError(f"gguf={file}: its name does not end in {SUFFIX}: {expected}")
    if not Path(file).is_file():
        raise FileNotFoundError(f"gguf={file}: no such file: {expected}")
    with open(file, "rb") as opened:
        if opened.read(len(MAGIC)) != MAGIC:
            raise ValueError(f"gguf={file}: it is no GGUF file: {expected}")
    if loras or not folder:
        raise ValueError(f"gguf={file} has packed weights: give model=, the folder it is of, and no LoRA")


def stored_names(file: str, folder: str) -> dict[str, str]:
    """Returns diffusers' name of each weight by its name in `file`. It reads the header only.

    Names may be diffusers' or those of Wan's original layout.

    Raises:
        ValueError: the file is damaged, or has not just the weights of the DiT that `folder` describes.
    """
    expected = {name: weight.shape for name, weight in empty_dit(folder).state_dict().items()}
    ours = {original_name(name): name for name in expected}
    try:
        shapes = _header(file)
    except DAMAGED as error:
        raise _misfit(file, folder, error) from error
    names = {stored: ours.get(bare_name(stored), bare_name(stored)) for stored in shapes}
    for stored, name in names.items():
        if name not in expected:
            raise ValueError(f"gguf={file}: {folder} has no {name[:100]!r}: expected weights of its transformer alone")
        if shapes[stored] != expected[name]:
            sizes = f"{tuple(shapes[stored])}: expected {tuple(expected[name])}"
            raise ValueError(f"gguf={file}: {name} is of shape {sizes}, as {folder} has it")
    lacking = [name for name in expected if name not in names.values()]
    if lacking:
        raise ValueError(f"gguf={file}: it lacks {lacking[0]} of {folder}: expected all weights of its transformer")
    return names


def load_gguf(file: str, folder: str, dtype: torch.dtype) -> WanTransformer3DModel:
    """Returns the DiT that `folder` describes with the weights of `file`, computing in `dtype`.

    Raises:
        ValueError: the file is damaged, or of another model.
    """
    from diffusers.models.model_loading_utils import load_gguf_checkpoint

    names = stored_names(file, folder)
    how = {"quantization_config": GGUFQuantizationConfig(compute_dtype=dtype), "torch_dtype": dtype}
    try:
        weights = {names[stored]: weight for stored, weight in load_gguf_checkpoint(file).items()}
        given: Any = weights  # diffusers' own hint leaves out the dict that it takes
        dit = WanTransformer3DModel.from_single_file(given, config=folder, subfolder="transformer", **how)
    except DAMAGED as error:
        raise _misfit(file, folder, error) from error
    return _computable(dit, dtype)


def _computable(dit: WanTransformer3DModel, dtype: torch.dtype) -> WanTransformer3DModel:
    """Unpacks what only linear layers compute with when it is packed: convolutions, norms, biases."""
    from diffusers.quantizers.gguf.utils import GGUFLinear, GGUFParameter, dequantize_gguf_tensor

    for module in dit.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            if isinstance(weight, GGUFParameter) and not (isinstance(module, GGUFLinear) and name == "weight"):
                plain = dequantize_gguf_tensor(weight).to(dtype)
                setattr(module, name, nn.Parameter(plain, requires_grad=False))
    return dit


def _header(file: str) -> dict[str, torch.Size]:
    """Returns the shape of each weight by its name. Past its end gguf's own reader would find nothing, for ever."""
    from gguf import GGUFReader

    class BoundedReader(GGUFReader):
        parts = 0

        def _get(self, offset, dtype, count=1, override_order=None):
            self.parts += 1
            if self.parts > MOST_PARTS:
                raise ValueError(f"its header has more than {MOST_PARTS} parts")
            if offset + np.dtype(dtype).itemsize * int(count) > len(self.data):
                raise ValueError("it ends too early")
            return super()._get(offset, dtype, count, override_order)

    return {tensor.name: torch.Size(tensor.shape.tolist()[::-1]) for tensor in BoundedReader(file).tensors}


def _misfit(file: str, folder: str, error: Exception) -> ValueError:
    told = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    return ValueError(f"gguf={file}: it does not hold the transformer of {folder} ({told})")
