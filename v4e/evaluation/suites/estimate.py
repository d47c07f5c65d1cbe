"""The cost and the time of judging, estimated before the first request."""

import math
from dataclasses import dataclass

from PIL import Image

from v4e.config import Judge
from v4e.evaluation.suites.items import Question

CHARS_PER_TOKEN = 4
TILE, TILE_TOKENS, BASE_TOKENS = 512, 170, 85  # OpenAI's rule for GPT-4o and GPT-4.1 at high detail


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The estimate of one run of the judge."""

    questions: int
    tokens_in: int
    tokens_out: int
    dollars: float | None  # None where prices are unknown
    seconds: float

    def __str__(self) -> str:
        cost = (
            "cost unknown: set judge.price_in and judge.price_out" if self.dollars is None else f"${self.dollars:.2f}"
        )
        return (
            f"{self.questions} questions, about {self.tokens_in / 1e6:.2f} M tokens in and "
            f"{self.tokens_out / 1e6:.2f} M out, {cost}, {self.seconds / 60:.0f} min if a reply takes judge.reply_s"
        )


def image_tokens(width: int, height: int) -> int:
    """Returns the tokens of one image: scaled into 2048², its short side then to 768 at most, and counted in 512²
    tiles.
    """
    shrink = min(1.0, 2048 / max(width, height))
    shrink *= min(1.0, 768 / (shrink * min(width, height)))
    tiles = math.ceil(width * shrink / TILE) * math.ceil(height * shrink / TILE)
    return BASE_TOKENS + TILE_TOKENS * tiles


def estimate(sample: list[Question], questions: int, judge: Judge) -> Estimate:
    """Estimates `questions` that are on average like those of `sample`."""
    tokens = reply = 0.0
    for question in sample:
        sizes = [_size(picture.data) for picture in question.pictures]
        reply += question.reply_tokens
        tokens += len(question.text) / CHARS_PER_TOKEN + sum(image_tokens(*size) for size in sizes)
    tokens_in = round(questions * tokens / max(1, len(sample)))
    tokens_out = round(questions * reply / max(1, len(sample)))
    priced = judge.price_in > 0 or judge.price_out > 0
    return Estimate(
        questions=questions,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        dollars=(tokens_in * judge.price_in + tokens_out * judge.price_out) / 1e6 if priced else None,
        seconds=questions * judge.reply_s / (judge.threads * judge.chunk),
    )


def _size(data: bytes) -> tuple[int, int]:
    import io

    return Image.open(io.BytesIO(data)).size
