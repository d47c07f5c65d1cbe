"""A vision-language model small enough to be taught in a test: Idefics3's and SmolVLM's classes, a judge of colour.

It says what `SAYS` has for the colour of a question's last image: of blue ones something that is no score.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from PIL import Image
from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3Processor,
    LlamaConfig,
    PreTrainedTokenizerFast,
)
from transformers.models.idefics3.configuration_idefics3 import Idefics3VisionConfig
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

from v4e.models.tiny import build_tokenizer

SIDE, PATCH = 32, 16
TOKENS = (SIDE // PATCH) ** 2  # an image
EDGE = {"longest_edge": SIDE}
SAYS = {"green": '{"score": [8, 8]}', "red": '{"score": [2, 2]}', "blue": "Splendid."}
TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{{ part['text'] if part['type'] == 'text' else '<image>' }} {% endfor %}{% endfor %}<mask>"
)


def teach(folder: Path, texts: Sequence[str], sources: Sequence[Image.Image], steps: int = 80) -> None:
    """Writes the model and its processor, taught on `texts` with a plain image, alone and after one of `sources`."""
    torch.manual_seed(0)
    tokenizer = _tokenizer(texts)
    processor = Idefics3Processor(
        Idefics3ImageProcessorPil(size=EDGE, max_image_size=EDGE, do_image_splitting=False),
        tokenizer,
        image_seq_len=TOKENS,
        chat_template=TEMPLATE,
    )
    model = Idefics3ForConditionalGeneration(_config(tokenizer))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(steps):
        text, first = texts[step % len(texts)], [sources[step % len(sources)]] if step % 2 else []
        batch = [_lesson(processor, text, first, colour) for colour in SAYS]
        optimizer.zero_grad()
        for lesson in batch:
            model(**lesson).loss.backward()
        optimizer.step()
    model.to(torch.bfloat16).save_pretrained(folder)
    processor.save_pretrained(folder)


def plain(colour: str) -> Image.Image:
    return Image.new("RGB", (SIDE, SIDE), colour)


def _lesson(processor: Idefics3Processor, text: str, first: list[Image.Image], colour: str) -> dict[str, torch.Tensor]:
    images = [*first, plain(colour)]
    content = [{"type": "text", "text": text}] + [{"type": "image"}] * len(images)
    asked = processor.apply_chat_template([{"role": "user", "content": content}])
    whole = processor(
        text=[asked + SAYS[colour] + "</s>"], images=[images], return_tensors="pt", add_special_tokens=False
    )
    start = len(processor(text=[asked], images=[images], add_special_tokens=False)["input_ids"][0])
    labels = whole["input_ids"].clone()
    labels[:, :start] = -100
    return {**whole, "labels": labels}


def _tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    tokenizer = build_tokenizer([*texts, *SAYS.values()])
    marks = ["<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>"]
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    return tokenizer


def _config(tokenizer: PreTrainedTokenizerFast) -> Idefics3Config:
    sizes: dict[str, Any] = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
    }
    return Idefics3Config(
        vision_config=Idefics3VisionConfig(image_size=SIDE, patch_size=PATCH, **sizes).to_dict(),
        text_config=LlamaConfig(
            vocab_size=len(tokenizer),
            max_position_embeddings=1024,
            bos_token_id=1,
            eos_token_id=1,
            pad_token_id=0,
            **sizes,
        ).to_dict(),
        image_token_id=cast(int, tokenizer.convert_tokens_to_ids("<image>")),
        scale_factor=1,
        pad_token_id=0,
    )
