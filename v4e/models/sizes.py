"""The sizes of a Wan pipeline that its work depends on, read from its config files: no weights, no torch.

The hub's Wan2.1-14B pipelines are known here, so that a plan for them needs no network.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from v4e.files.uri import read_json

DitConfig = Mapping[str, Any]  # a transformer's config.json

WAN14B_I2V: DitConfig = {
    "patch_size": [1, 2, 2],
    "num_attention_heads": 40,
    "attention_head_dim": 128,
    "in_channels": 36,
    "out_channels": 16,
    "text_dim": 4096,
    "freq_dim": 256,
    "ffn_dim": 13824,
    "num_layers": 40,
    "cross_attn_norm": True,
    "qk_norm": "rms_norm_across_heads",
    "eps": 1e-6,
    "image_dim": 1280,
    "added_kv_proj_dim": 5120,
    "rope_max_seq_len": 1024,
}
WAN14B_FLF2V: DitConfig = {**WAN14B_I2V, "pos_embed_seq_len": 514}
KNOWN = {"wan-ai/wan2.1-i2v-14b-": WAN14B_I2V, "wan-ai/wan2.1-flf2v-14b-": WAN14B_FLF2V}  # beginnings of hub ids


@dataclass(frozen=True, kw_only=True)
class DitSizes:
    """The sizes of a Wan transformer."""

    width: int  # D
    heads: int
    ffn: int  # inner width of a block's feed-forward
    layers: int
    patch: tuple[int, ...]  # latent frames, rows and columns of a token
    channels_in: int  # of the noisy latent, the mask and the condition latent
    channels_out: int
    text_width: int
    image_width: int
    frequencies: int  # of the timestep
    images: int  # that it attends to: 1 in I2V, 2 in FLF2V


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A pipeline folder: its transformer, and what its encoders make of a clip and of an image."""

    transformer: DitConfig
    stride: int  # pixels along the side of a latent
    image_tokens: int  # of one image

    @property
    def dit(self) -> DitSizes:
        return dit(self.transformer)


def dit(config: DitConfig) -> DitSizes:
    """Reads the sizes from a transformer's config.json."""
    return DitSizes(
        width=config["num_attention_heads"] * config["attention_head_dim"],
        heads=config["num_attention_heads"],
        ffn=config["ffn_dim"],
        layers=config["num_layers"],
        patch=tuple(config["patch_size"]),
        channels_in=config["in_channels"],
        channels_out=config["out_channels"],
        text_width=config["text_dim"],
        image_width=config["image_dim"],
        frequencies=config["freq_dim"],
        images=1 if config.get("pos_embed_seq_len") is None else 2,  # I2V files of older diffusers lack the key
    )


def pipeline(folder: str, key: str) -> Pipeline:
    """Reads the sizes of a pipeline `folder`, or of a hub id of Wan2.1-14B.

    Raises:
        FileNotFoundError: it is neither; names `key`, the setting that asked for it, and what to give.
    """
    path = Path(folder)
    if not (path / "model_index.json").exists():
        for beginning, transformer in KNOWN.items():
            if folder.lower().startswith(beginning):
                return Pipeline(transformer=transformer, stride=8, image_tokens=257)
        raise FileNotFoundError(
            f"{key}={folder} is no pipeline folder on this machine, and the sizes of that hub id are not known here: "
            f"download it and set {key} to the folder that holds its model_index.json"
        )
    transformer, vae, image = (
        read_json(str(path / part / "config.json")) for part in ("transformer", "vae", "image_encoder")
    )
    return Pipeline(
        transformer=transformer,
        stride=2 ** len(vae["temperal_downsample"]),  # diffusers' spelling: one entry a halving
        image_tokens=(image["image_size"] // image["patch_size"]) ** 2 + 1,  # and the class token
    )
