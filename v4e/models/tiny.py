"""The tiny Wan family: the real diffusers and transformers classes at a size that two CPU cores can train.

``build`` makes the modules with random weights; ``pipelines/pretrain.py`` trains them; ``save`` writes a folder that
``WanImageToVideoPipeline.from_pretrained`` loads unchanged.
"""

from pathlib import Path

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
from v4e.models.tiny_sizes import FIRST, IMAGE_PATCHES, IMAGE_PIXELS, VOCAB, TinySizes
from v4e.models.tiny_sizes import IMAGE_WIDTH as IMAGE_WIDTH
from v4e.models.tiny_sizes import TEXT_WIDTH as TEXT_WIDTH
from v4e.wan import TRAINED_FRAMES

Z = FIRST.z  # latent channels
PIXELS = FIRST.pixels  # image side
IMAGE_TOKENS = IMAGE_PATCHES**2 + 1  # and the class token
FLOW_SHIFT = 3.0
VAE, DIT, TEXT, IMAGE = FIRST.vae, FIRST.dit, FIRST.text, FIRST.image


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


def build_vae(sizes: TinySizes = FIRST) -> AutoencoderKLWan:
    return AutoencoderKLWan(**sizes.vae)


def build_text_encoder(sizes: TinySizes = FIRST) -> UMT5EncoderModel:
    return UMT5EncoderModel(UMT5Config(**sizes.text))


def build_image_encoder(sizes: TinySizes = FIRST) -> CLIPVisionModel:
    return CLIPVisionModel(CLIPVisionConfig(**sizes.image))


def build_dit(sizes: TinySizes = FIRST, *, last_frame: bool = False) -> WanTransformer3DModel:
    """The I2V base, or with `last_frame` the FLF2V teacher (it has position embeddings for two images' tokens)."""
    pos_embed_seq_len = 2 * IMAGE_TOKENS if last_frame else None
    return WanTransformer3DModel(**sizes.dit, pos_embed_seq_len=pos_embed_seq_len)


def image_processor(pixels: int = IMAGE_PIXELS) -> transformers.CLIPImageProcessor:
    """Brings any image to the encoder's size, as CLIP's own does."""
    return transformers.CLIPImageProcessor(
        size={"shortest_edge": pixels},
        crop_size={"height": pixels, "width": pixels},
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
    frames: tuple[int, ...] = (),
) -> None:
    """Write one diffusers pipeline folder; weights are stored in `dtype`.

    `frames` are the clip lengths that the family was trained on; () says nothing about them.
    """
    if frames:
        vae.register_to_config(**{TRAINED_FRAMES: list(frames)})
    pixels = image_encoder.config.image_size
    assert isinstance(pixels, int)
    # diffusers annotates a factory and one scheduler of many, where it takes any tokenizer and any scheduler
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=FLOW_SHIFT)
    pipe = WanImageToVideoPipeline(
        tokenizer=tokenizer,  # pyright: ignore[reportArgumentType]
        text_encoder=text_encoder,
        vae=vae,
        transformer=transformer,
        image_encoder=image_encoder,
        image_processor=image_processor(pixels),
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
