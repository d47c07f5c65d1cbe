"""The texts and the size of a stored sample, read from the head of its file without its features.

Shape letters: H W latent height and width.
"""

import json
import struct
from dataclasses import dataclass
from typing import BinaryIO

Bucket = tuple[int, int]  # (H, W) of a sample's latents: samples of one bucket can be stacked


@dataclass(frozen=True)
class Texts:
    """The texts from which a stored sample was encoded, and its corpus."""

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
    """Reads the header of a safetensors file, 8 bytes of length and then JSON, and no more."""
    (length,) = struct.unpack("<Q", file.read(8))
    header = json.loads(file.read(length))
    height, width = header["z_i2v_CFHW"]["shape"][-2:]
    return Header(texts=Texts(**json.loads(header["__metadata__"]["texts"])), bucket=(height, width))
