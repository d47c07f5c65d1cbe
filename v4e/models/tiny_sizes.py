"""The sizes of the tiny Wan families: what their VAE, DiT and encoders are built with."""

from dataclasses import dataclass
from typing import Any

from v4e.wan import latent_frames

TEXT_WIDTH = 96
IMAGE_WIDTH = 96
IMAGE_PIXELS = 32  # side to which any image is brought for the image encoder, as CLIP brings it to 224
IMAGE_PATCHES = 4  # along that side
VOCAB = 1024


@dataclass(frozen=True)
class TinySizes:
    """The sizes of one family: its clips, and how far its VAE compresses them."""

    pixels: int = 32  # image side
    frames: int = 5  # P, pixel frames of a clip
    z: int = 16  # C, latent channels
    stride: int = 4  # pixels along a latent's side: 4, or 8, where the VAE takes 2 x 2 pixels as channels first
    base: int = 16  # channels of the VAE's widest pictures

    def __post_init__(self):
        if self.stride not in (4, 8) or self.pixels % (2 * self.stride):
            raise ValueError(
                f"stride={self.stride} with {self.pixels} pixels: expected 4 or 8, and a side that twice it divides"
            )

    @property
    def latent_frames(self) -> int:
        """F of a clip."""
        return latent_frames(self.frames)

    @property
    def vae(self) -> dict[str, Any]:
        """The settings of AutoencoderKLWan."""
        patch = self.stride // 4
        return {
            "base_dim": self.base,
            "z_dim": self.z,
            "dim_mult": [1, 2, 2],
            "num_res_blocks": 1,
            "attn_scales": [],
            "temperal_downsample": [True, True],  # diffusers' spelling
            "latents_mean": [0.0] * self.z,
            "latents_std": [1.0] * self.z,
            "scale_factor_temporal": 4,
            "scale_factor_spatial": self.stride,
        } | ({"patch_size": patch, "in_channels": 3 * patch**2, "out_channels": 3 * patch**2} if patch > 1 else {})

    @property
    def dit(self) -> dict[str, Any]:
        """The settings of WanTransformer3DModel, without the positions of two images' tokens."""
        return {
            "patch_size": [1, 2, 2],
            "num_attention_heads": 4,
            "attention_head_dim": 40,
            "in_channels": 2 * self.z + 4,  # noisy latent, mask, condition latent
            "out_channels": self.z,
            "text_dim": TEXT_WIDTH,
            "freq_dim": 128,
            "ffn_dim": 480,
            "num_layers": 6,
            "cross_attn_norm": True,
            "qk_norm": "rms_norm_across_heads",
            "image_dim": IMAGE_WIDTH,
            "added_kv_proj_dim": 160,
            "rope_max_seq_len": 64,
        }

    @property
    def text(self) -> dict[str, Any]:
        """The settings of UMT5EncoderModel."""
        return {
            "vocab_size": VOCAB,
            "d_model": TEXT_WIDTH,
            "d_kv": 24,
            "d_ff": 192,
            "num_layers": 2,
            "num_heads": 4,
            "dropout_rate": 0.0,
            "pad_token_id": 0,
            "eos_token_id": 1,
        }

    @property
    def image(self) -> dict[str, Any]:
        """The settings of CLIPVisionModel."""
        return {
            "hidden_size": IMAGE_WIDTH,
            "intermediate_size": 192,
            "num_hidden_layers": 3,  # the pipeline reads the penultimate states
            "num_attention_heads": 4,
            "image_size": IMAGE_PIXELS,
            "patch_size": IMAGE_PIXELS // IMAGE_PATCHES,
        }


FIRST = TinySizes()  # of the committed family
SECOND = TinySizes(frames=9)  # of World 2
