"""A model to be judged by held-out triplets, and the place of its clips: <run.dir>/eval/<model>."""

from dataclasses import dataclass
from urllib.parse import quote

from v4e.config import Config
from v4e.files.uri import join


@dataclass(frozen=True, kw_only=True)
class HeldoutModel:
    """A model to evaluate: its pipeline folder, and what it is given beside the source."""

    name: str
    folder: str
    text: str = "instruction"  # or "caption"
    last_image: bool = False  # FLF2V: sees the ground truth too (the teacher)
    reconstructs: bool = False  # the VAE alone: the best that any model with this VAE can reach


def clip_uri(config: Config, model: HeldoutModel, sample_id: str) -> str:
    """The place of one clip, uint8 (P, h, w, 3)."""
    return join(config.run.dir, "eval", model.name, quote(sample_id, safe="") + ".npy")
