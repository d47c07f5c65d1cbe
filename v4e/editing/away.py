"""The place of an editor's models between their uses: on the GPU, or in host memory until they are needed.

Exact to the bit, and slower by the time of the copies.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import nn

from v4e.weights.load import move

Away = Literal["", "models", "blocks"]
HOST = torch.device("cpu")


def check(away: Away, loras: bool, other: bool) -> None:
    """Refuses what cannot be while a DiT's blocks come one after another.

    `other` says whether its blocks are quantized or compiled, and `loras` whether it has adapters.

    Raises:
        ValueError: naming both.
    """
    if away == "blocks" and (loras or other):
        what = "LoRAs" if loras else "weights, gguf and compile"
        raise ValueError(f"away=blocks copies the blocks as they are in the file, without {what}: set away=models")


def place(dit: nn.Module, away: Away, device: torch.device) -> None:
    """Puts the DiT where it waits: on `device`, in host memory, or there with hooks that fetch block after block."""
    if away == "blocks":
        streams = device.type == "cuda"  # the next block comes while one computes
        dit.enable_group_offload(  # pyright: ignore[reportCallIssue]
            onload_device=device,
            offload_device=HOST,
            offload_type="block_level",
            num_blocks_per_group=1,
            use_stream=streams,
        )
    else:
        move(dit, HOST if away else device)


@contextmanager
def present(model: nn.Module, away: Away, device: torch.device) -> Iterator[None]:
    """Keeps `model` on `device` for the body, and in host memory afterwards if models go away."""
    if not away:
        yield
        return
    move(model, device)
    try:
        yield
    finally:
        move(model, HOST)
