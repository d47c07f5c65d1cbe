"""What is known of a stored sample without its features: read from the head of its file.

Shape letters: H W latent height and width.
"""

import json
import struct
from dataclasses import dataclass
from typing import BinaryIO

Bucket = tuple[int, int]  # (H, W) of a sample's latents: those of one bucket can be stacked


@dataclass(frozen=True)
class Texts:
    """What the texts of a stored sample were made of, and where it comes from."""

    instruction: str
    caption: str
    task: str
    corpus: str = ""


@dataclass(frozen=True)
class Header:
    """A stored sample without its features."""

    texts: Texts
    bucket: Bucket


def read_header(file: BinaryIO) -> Header:
    """Of a safetensors file: 8 bytes of length, then JSON. No more of it is read."""
    (length,) = struct.unpack("<Q", file.read(8))
    header = json.loads(file.read(length))
    height, width = header["z_i2v_CFHW"]["shape"][-2:]
    return Header(texts=Texts(**json.loads(header["__metadata__"]["texts"])), bucket=(height, width))
