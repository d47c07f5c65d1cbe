"""A Ray actor that captions batches, on a language model in its own process or behind a server.

A batch is a pure function of its requests, so it may run again.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from actors.llm.vllm import VllmModel
from v4e.captions.endpoint import EndpointModel
from v4e.captions.vote import label_bias
from v4e.captions.write import CaptionRequest, WrittenCaption, write
from v4e.config import Caption


@dataclass(frozen=True, kw_only=True)
class CaptionBatch:
    """The captions of one batch of requests, and their cost."""

    index: int
    written: list[WrittenCaption]
    tokens: int  # generated
    seconds: float  # without the start of the engine


class Captioner:
    """Captions by :func:`v4e.captions.write.write`; `key` is for the server at ``caption.url``, if it wants one."""

    def __init__(self, config: Caption, key: str = ""):
        self.config, self.key = config, key
        self.known_bias: list[float] = []

    @cached_property
    def model(self) -> EndpointModel | VllmModel:
        """The language model, started on first use, because Ray reports constructor errors with pages of traceback.

        Raises:
            ValueError: it cannot be started.
        """
        try:
            return EndpointModel(self.config, self.key) if self.config.url else VllmModel(self.config)
        except Exception as error:  # libraries, weights, memory: vLLM has many
            why = " ".join(f"{type(error).__name__}: {error}".split())
            raise ValueError(f"no captioner starts, see caption.model: {why[:600]}") from error

    def ready(self) -> None:
        """Returns once the model has started.

        Raises:
            ValueError: the model cannot do what the config requires of it.
        """
        self.model.ready()

    def write(self, index: int, requests: Sequence[CaptionRequest]) -> CaptionBatch:
        """Captions one batch; returns it with its `index`."""
        before, start = self.model.tokens, time.monotonic()  # in this order: the engine may have to start first
        written = write(
            requests,
            self.model,
            self.bias,
            candidates=self.config.candidates,
            vote=self.config.vote,
            new_words=self.config.new_words,
            refined=self.config.refine,
        )
        tokens = self.model.tokens - before
        return CaptionBatch(index=index, written=written, tokens=tokens, seconds=time.monotonic() - start)

    def bias(self) -> list[float]:
        """Returns :func:`v4e.captions.vote.label_bias`, measured once."""
        self.known_bias = self.known_bias or label_bias(self.model)
        return self.known_bias
