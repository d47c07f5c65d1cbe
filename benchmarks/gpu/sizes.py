"""The means of the checks of benchmarks/gpu/check.py: a device, a size, and how far apart numbers may be.

Shapes: B batch, C latent channels, F latent frames, H W latent height and width, N DiT tokens, D width, T text
tokens. I is image tokens, K taps.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import WanTransformer3DModel
from torch import Tensor

from benchmarks.support.random_student import wan
from v4e.models.dit import DitInputs
from v4e.models.dtype import dtype_of
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
    pictures: tuple[tuple[int, int], ...]  # heights and widths that the VAE of true size sees, in pixels
    mib: int  # that are moved in one piece where GB/s are measured
    image_tokens: int = 257

    @property
    def transformer(self) -> dict:
        """The transformer's config.json."""
        return wan(self.heads, self.blocks)

    @property
    def tokens(self) -> int:
        """N of a clip."""
        return 2 * self.side * self.side // 4


SIZES = {
    "14b": GpuSize(heads=40, blocks=2, side=88, pictures=((480, 832), (720, 1280)), mib=1024),
    "small": GpuSize(heads=4, blocks=2, side=8, pictures=((16, 16),), mib=4),
}


def device_of(name: str) -> torch.device:
    """The first GPU, or the CPU."""
    return torch.device("cuda", 0) if name == "cuda" else torch.device("cpu")


def made(
    size: GpuSize, dtype: str, device: torch.device, attention: str = "native", *, last_frame: bool = False
) -> WanTransformer3DModel:
    """A DiT of random weights, the same for any dtype and device; with `last_frame` it is a teacher, FLF2V.

    Its blocks count: the gates that diffusers starts with are near 0 at Wan's width, and would hide what a block does.
    Its attention is sharp: with evenly spread logits a wrong key would show as little.
    """
    torch.manual_seed(0)
    more = {"pos_embed_seq_len": 2 * size.image_tokens} if last_frame else {}
    model = WanTransformer3DModel(**size.transformer | more)
    if last_frame:
        model.condition_embedder.image_embedder.pos_embed.data.normal_()  # diffusers starts with zeros
    for block in model.blocks:
        block.scale_shift_table.data[:, [2, 5]] += 1
        block.attn1.norm_q.weight.data *= 2
    for name, parameter in model.named_parameters():
        parameter.data = parameter.data.to(dtype_of(name, DTYPES[dtype]))
    return move(set_attention(model, attention, False), device)


def written(size: GpuSize, folder: Path) -> str:
    """A pipeline folder with nothing but :func:`made`'s transformer in bfloat16."""
    made(size, "bfloat16", torch.device("cpu")).save_pretrained(folder / "transformer")
    (folder / "model_index.json").write_text("{}")
    return str(folder)


def inputs_of(
    size: GpuSize, dtype: str, device: torch.device, *, last_frame: bool = False
) -> tuple[Tensor, Tensor, DitInputs]:
    """Random ones, the same for any dtype and device, as :func:`v4e.models.dit.predict` takes them."""
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device, DTYPES[dtype])

    grid, images = (2, size.side, size.side), 2 if last_frame else 1
    x_t_BCFHW, y_BCFHW = normal(1, 16, *grid), normal(1, 20, *grid)
    inputs = DitInputs(
        y_BCFHW=y_BCFHW, text=[normal(TEXT, 4096)], image_BID=normal(1, images * size.image_tokens, 1280)
    )
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


def seconds_of(work: Callable[[], object], device: torch.device, rounds: int = 5) -> float:
    """Returns the seconds of one call, the fastest of some after a warm-up."""
    times = []
    for _ in range(1 + rounds):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def peak_gib(device: torch.device, work: Callable[[], object]) -> float:
    """Returns the GiB that a call holds at most beside what is held already; 0 on the CPU, where nobody counts."""
    if device.type != "cuda":
        work()
        return 0.0
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    work()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**30
