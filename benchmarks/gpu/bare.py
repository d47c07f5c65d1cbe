"""Stand-ins for three packages, for a machine that has torch, diffusers, transformers and safetensors alone.

What stands in does less than the package, and as much as the checks need. Without accelerate diffusers reads no Wan
transformer: it keeps parts of it in float32, and asks accelerate to do so.
"""

import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any


class _Unbounded(dict):
    """A cache that never lets go of anything, in the place of cachetools' LRUCache."""

    currsize = 0

    def __init__(self, maxsize: int, getsizeof: object = None) -> None:
        super().__init__()

    def __class_getitem__(cls, _types: object) -> type:
        return cls


STAND_INS: dict[str, dict[str, Any]] = {
    "cachetools": {"LRUCache": _Unbounded},
    "ftfy": {"fix_text": str},  # the texts of the checks are whole
}


def stand_in() -> list[str]:
    """Puts a stand-in in the place of each package that is missing here; their names."""
    missing = [name for name in STAND_INS if find_spec(name) is None]
    for name in missing:
        module = ModuleType(name)
        vars(module).update(STAND_INS[name])
        module.__spec__ = ModuleSpec(name, None)
        sys.modules[name] = module
    if find_spec("accelerate") is None:
        from diffusers import WanTransformer3DModel

        WanTransformer3DModel.from_pretrained = read
        missing.append("accelerate")
    return missing


def read(folder: str, *, subfolder: str, torch_dtype: Any, **_options: object) -> Any:
    """Reads the transformer of a pipeline folder, which is one file, as diffusers casts it."""
    from diffusers import WanTransformer3DModel
    from safetensors.torch import load_file

    from v4e.models.dtype import dtype_of

    path = Path(folder, subfolder)
    model: Any = WanTransformer3DModel.from_config(WanTransformer3DModel.load_config(path))
    model.load_state_dict(load_file(path / "diffusion_pytorch_model.safetensors"))
    for name, parameter in model.named_parameters():
        parameter.data = parameter.data.to(dtype_of(name, torch_dtype))
    return model.eval()
