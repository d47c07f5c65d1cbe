"""The work that the steps of one edit share, done once: exact, since only repetition is left out.

All steps share each block's keys and values of text and image, embedded text and image, and rotary positions. The two
passes of a guided step differ in the text alone. They share the timestep's modulation and the first block's
self-attention, which no text has reached yet.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from diffusers import WanTransformer3DModel
from torch import Tensor, nn

from v4e.models.attention import CrossAttention, blocks

T = TypeVar("T")


class Memo:
    """Results of one edit by name. A branch is the texts of a pass: the instructions, or what guidance leads from."""

    def __init__(self, processors: list[CrossAttention]) -> None:
        self.branch, self._step = "", -1
        self._processors = processors
        self._of_edit: dict[str, Any] = {}
        self._of_step: dict[str, Any] = {}

    def at(self, step: int, branch: str) -> None:
        """Says what the next forward is: `step`, seen with the texts called `branch`."""
        if step != self._step:
            self._step, self._of_step = step, {}
        self.branch = branch
        for processor in self._processors:
            processor.branch = branch

    def of_edit(self, name: str, make: Callable[[], T]) -> T:
        if name not in self._of_edit:
            self._of_edit[name] = make()
        return self._of_edit[name]

    def of_step(self, name: str, make: Callable[[], T]) -> T:
        if name not in self._of_step:
            self._of_step[name] = make()
        return self._of_step[name]


class _Rope(nn.Module):
    def __init__(self, rope: nn.Module, memo: Memo) -> None:
        super().__init__()
        self.rope, self._memo = rope, memo

    def forward(self, x_BCFHW: Tensor) -> tuple[Tensor, Tensor]:
        return self._memo.of_edit(f"rope of {x_BCFHW.shape[2]} frames", lambda: self.rope(x_BCFHW))


class _Embedder(nn.Module):
    """Around ``WanTimeTextImageEmbedding``, whose text and image do not depend on the timestep nor it on them."""

    def __init__(self, embedder: nn.Module, memo: Memo) -> None:
        super().__init__()
        self.embedder, self._memo = embedder, memo

    def forward(self, timestep_B: Tensor, text: Tensor, image: Tensor | None = None, timestep_seq_len=None):
        memo = self._memo
        time = memo.of_step("time", lambda: self.embedder(timestep_B, text[:, :1], None, timestep_seq_len)[:2])
        context = memo.of_edit(
            f"context of {memo.branch}", lambda: self.embedder(timestep_B, text, image, timestep_seq_len)[2:]
        )
        return *time, *context


class _SelfAttention:
    """Around an attention processor: a step's output, of whichever pass comes first."""

    def __init__(self, processor, memo: Memo) -> None:
        self._processor, self._memo = processor, memo

    def __call__(self, attn: nn.Module, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return self._memo.of_step("attention", lambda: self._processor(attn, hidden_states, *args, **kwargs))


@contextmanager
def reusing(dit: WanTransformer3DModel, *, guided: bool) -> Iterator[Memo]:
    """Makes forwards of `dit` compute nothing twice; before each, the caller says by ``memo.at`` which it is.

    All forwards must be of one batch: the same image tokens, height and width, and for each branch the same texts.
    Forwards of one step (two if `guided`) must also have the same ``x_t`` and ``t``. `dit` may be sharded. Afterwards
    it is as before.
    """
    cross = [block.attn2 for block in blocks(dit)]
    stock, first = [attn.processor for attn in cross], blocks(dit)[0].attn1
    rope, embedder, self_attention = dit.rope, dit.condition_embedder, first.processor
    processors = []
    for processor in stock:
        own = CrossAttention(fold=isinstance(processor, CrossAttention) and processor.fold)
        own._attention_backend = processor._attention_backend
        own.kept = {}
        processors.append(own)
    memo = Memo(processors)
    try:
        for attn, processor in zip(cross, processors, strict=True):
            attn.set_processor(processor)
        dit.register_module("rope", _Rope(rope, memo))
        dit.register_module("condition_embedder", _Embedder(embedder, memo))
        if guided:
            first.set_processor(_SelfAttention(self_attention, memo))
        yield memo
    finally:
        dit.rope, dit.condition_embedder = rope, embedder
        first.set_processor(self_attention)
        for attn, processor in zip(cross, stock, strict=True):
            attn.set_processor(processor)
