"""The means of the checks of benchmarks/gpu/check.py: a device, a size, and how far apart numbers may be.

Shapes: B batch, C latent channels, F latent frames, H W latent height and width, N DiT tokens, D width, T text
tokens. I is image tokens, K taps.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import WanTransformer3DModel
from torch import Tensor

from benchmarks.support.random_student import wan
from v4e.models.dit import DitInputs
from v4e.weights.load import DTYPES, move, set_attention

Figures = dict[str, float | str]
TEXT = 24  # tokens
BF16 = 0.03  # of the norm: bfloat16 against float32 over two blocks; an error of ours is far beyond it
FLOAT32 = 1e-4  # of the norm, for another order of the same sums


class Absent(Exception):
    """A lack on this machine of what the check needs; the message names it."""


@dataclass(frozen=True, kw_only=True)
class GpuSize:
    """The sizes of the models that are checked: blocks of Wan2.1-14B's shape, all of its width or less."""

    heads: int  # of 128
    blocks: int
    side: int  # of a latent frame; two frames make a clip
    image_tokens: int = 257

    @property
    def transformer(self) -> dict:
        """The transformer's config.json."""
        return wan(self.heads, self.blocks)

    @property
    def tokens(self) -> int:
        """N of a clip."""
        return 2 * self.side * self.side // 4


SIZES = {"14b": GpuSize(heads=40, blocks=2, side=88), "small": GpuSize(heads=4, blocks=2, side=8)}


def device_of(name: str) -> torch.device:
    """The first GPU, or the CPU."""
    return torch.device("cuda", 0) if name == "cuda" else torch.device("cpu")


def made(size: GpuSize, dtype: str, device: torch.device, attention: str = "native") -> WanTransformer3DModel:
    """A DiT of random weights, the same for any dtype and device.

    Its blocks count: the gates that diffusers starts with are near 0 at Wan's width, and would hide what a block does.
    Its attention is sharp: with evenly spread logits a wrong key would show as little.
    """
    torch.manual_seed(0)
    model = WanTransformer3DModel(**size.transformer)
    for block in model.blocks:
        block.scale_shift_table.data[:, [2, 5]] += 1
        block.attn1.norm_q.weight.data *= 2
    for parameter in model.parameters():
        parameter.data = parameter.data.to(DTYPES[dtype])
    return move(set_attention(model, attention, False), device)


def written(size: GpuSize, folder: Path) -> str:
    """A pipeline folder with nothing but :func:`made`'s transformer in bfloat16."""
    made(size, "bfloat16", torch.device("cpu")).save_pretrained(folder / "transformer")
    (folder / "model_index.json").write_text("{}")
    return str(folder)


def inputs_of(size: GpuSize, dtype: str, device: torch.device) -> tuple[Tensor, Tensor, DitInputs]:
    """Random ones, the same for any dtype and device, as :func:`v4e.models.dit.predict` takes them."""
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device, DTYPES[dtype])

    grid = (2, size.side, size.side)
    x_t_BCFHW, y_BCFHW = normal(1, 16, *grid), normal(1, 20, *grid)
    inputs = DitInputs(y_BCFHW=y_BCFHW, text=[normal(TEXT, 4096)], image_BID=normal(1, size.image_tokens, 1280))
    return x_t_BCFHW, torch.tensor([0.5], device=device), inputs


def distance(found: Tensor, expected: Tensor) -> float:
    """Norm of the difference, of the expected norm."""
    found, expected = found.float().cpu(), expected.float().cpu()
    return ((found - expected).norm() / expected.norm()).item()


def expect(what: str, value: float, most: float) -> float:
    """`value`, unless it is above `most` or not a number.

    Raises:
        AssertionError: naming both.
    """
    assert value <= most, f"{what} is {value:.3g}, expected at most {most:.3g}"
    return value
