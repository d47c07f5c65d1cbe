"""The tiny Wan family: the real diffusers and transformers classes at a size that two CPU cores can train.

``build`` makes the modules with random weights; ``pipelines/pretrain.py`` trains them; ``save`` writes a folder that
``WanImageToVideoPipeline.from_pretrained`` loads unchanged.
"""

from pathlib import Path
from typing import Any

import torch
import transformers
from diffusers import (
    AutoencoderKLWan,
    UniPCMultistepScheduler,
    WanTransformer3DModel,
)
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    PreTrainedTokenizerFast,
    UMT5Config,
    UMT5EncoderModel,
)

from v4e.models.stock import WanImageToVideoPipeline

Z = 16  # latent channels
PIXELS = 32  # image side
TEXT_WIDTH = 96
IMAGE_WIDTH = 96
IMAGE_TOKENS = 17  # (32 / 8)^2 patches and the class token
VOCAB = 1024
FLOW_SHIFT = 3.0

VAE = {
    "base_dim": 16,
    "z_dim": Z,
    "dim_mult": [1, 2, 2],
    "num_res_blocks": 1,
    "attn_scales": [],
    "temperal_downsample": [True, True],  # diffusers' spelling
    "latents_mean": [0.0] * Z,
    "latents_std": [1.0] * Z,
    "scale_factor_temporal": 4,
    "scale_factor_spatial": 4,
}
DIT = {
    "patch_size": [1, 2, 2],
    "num_attention_heads": 4,
    "attention_head_dim": 40,
    "in_channels": 2 * Z + 4,  # noisy latent, mask, condition latent
    "out_channels": Z,
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
TEXT = {
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
IMAGE: dict[str, Any] = {
    "hidden_size": IMAGE_WIDTH,
    "intermediate_size": 192,
    "num_hidden_layers": 3,  # the pipeline reads the penultimate states
    "num_attention_heads": 4,
    "image_size": PIXELS,
    "patch_size": 8,
}


def build_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE over `texts`: whole words for the world's language, bytes for everything else.

    Like T5's, it ends every text with ``</s>`` and pads with id 0.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB,
        special_tokens=["<pad>", "</s>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    bpe.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<pad>", eos_token="</s>", mask_token="<mask>", model_max_length=512
    )


def build_vae() -> AutoencoderKLWan:
    return AutoencoderKLWan(**VAE)


def build_text_encoder() -> UMT5EncoderModel:
    return UMT5EncoderModel(UMT5Config(**TEXT))


def build_image_encoder() -> CLIPVisionModel:
    return CLIPVisionModel(CLIPVisionConfig(**IMAGE))


def build_dit(*, last_frame: bool = False) -> WanTransformer3DModel:
    """The I2V base, or with `last_frame` the FLF2V teacher (it has position embeddings for two images' tokens)."""
    pos_embed_seq_len = 2 * IMAGE_TOKENS if last_frame else None
    return WanTransformer3DModel(**DIT, pos_embed_seq_len=pos_embed_seq_len)


def image_processor() -> transformers.CLIPImageProcessor:
    """Brings any image to the encoder's size, as CLIP's own does."""
    return transformers.CLIPImageProcessor(
        size={"shortest_edge": PIXELS},
        crop_size={"height": PIXELS, "width": PIXELS},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )


def save(
    folder: Path,
    *,
    transformer: WanTransformer3DModel,
    vae: AutoencoderKLWan,
    text_encoder: UMT5EncoderModel,
    tokenizer: PreTrainedTokenizerFast,
    image_encoder: CLIPVisionModel,
    dtype: torch.dtype = torch.bfloat16,
) -> None:
    """Write one diffusers pipeline folder; weights are stored in `dtype`."""
    # diffusers annotates a factory and one scheduler of many, where it takes any tokenizer and any scheduler
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=FLOW_SHIFT)
    pipe = WanImageToVideoPipeline(
        tokenizer=tokenizer,  # pyright: ignore[reportArgumentType]
        text_encoder=text_encoder,
        vae=vae,
        transformer=transformer,
        image_encoder=image_encoder,
        image_processor=image_processor(),
        scheduler=scheduler,  # pyright: ignore[reportArgumentType]
    )
    for module in (transformer, vae, text_encoder, image_encoder):
        _cast(module, dtype)
    pipe.save_pretrained(folder, safe_serialization=True)


def _cast(module: torch.nn.Module, dtype: torch.dtype) -> None:
    """Casts to `dtype`, except the parts that the class always keeps in float32."""
    kept = set(getattr(module, "_keep_in_fp32_modules", None) or [])
    for name, parameter in module.named_parameters():
        if not kept & set(name.split(".")):
            parameter.data = parameter.data.to(dtype)


def save_random(folder: Path, seed: int = 0) -> None:
    """Both pipelines with random weights below `folder` (``tiny-wan-i2v``, ``tiny-wan-flf2v``): for tests."""
    torch.manual_seed(seed)
    shared = {
        "vae": build_vae(),
        "text_encoder": build_text_encoder(),
        "tokenizer": build_tokenizer(["make the red circle blue", "The red circle gradually turns blue."]),
        "image_encoder": build_image_encoder(),
    }
    save(folder / "tiny-wan-i2v", transformer=build_dit(), dtype=torch.float32, **shared)
    save(folder / "tiny-wan-flf2v", transformer=build_dit(last_frame=True), dtype=torch.float32, **shared)
