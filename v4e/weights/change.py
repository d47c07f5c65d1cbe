"""The change that training made in a base, as a small file of its own: a byte a weight, and a scale a row.

Shape letters: R rows, I inputs of a row.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

SCALE = ".scale"  # after a weight's name


def write_change(base: Mapping[str, Tensor], student: Mapping[str, Tensor], file: Path) -> None:
    """Writes by what the weights `student` differ from `base`, each row to 1/254 of its largest difference."""
    written: dict[str, Tensor] = {}
    for name, weight in base.items():
        change_RI = _rows(student[name].float() - weight.float())
        scale_R1 = change_RI.abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
        written[name], written[name + SCALE] = (change_RI / scale_R1).round().to(torch.int8), scale_R1
    save_file(written, file)


def add_change(dit: nn.Module, file: Path) -> None:
    """Adds a change to the weights of the base's DiT.

    Raises:
        ValueError: it is of another model.
    """
    change, weights = load_file(file), dict(dit.named_parameters())
    for name in weights.keys() ^ {name for name in change if not name.endswith(SCALE)}:
        raise ValueError(f"{file}: {name} is not in both, the change and the model: expected a change of this model")
    with torch.no_grad():
        for name, weight in weights.items():
            weight += (change[name] * change[name + SCALE]).reshape(weight.shape).to(weight)


def _rows(weight: Tensor) -> Tensor:
    return weight.flatten(1) if weight.ndim > 1 else weight[None]
