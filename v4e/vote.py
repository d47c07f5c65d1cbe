"""A language model's vote on the task of an instruction, by calibrated likelihoods, and its count with the rules.

Asked for a label, a small model names its few favourites whatever the instruction is. Two likelihoods, each free of
that liking, tell far more: P(label | instruction), less the label's mean over instructions of all kinds; and
P(instruction | examples of the task), where the label is only in the condition.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from v4e.prompts import UNLABELLED, label_prompt, task_prompt
from v4e.tasks import TASKS, normalize, rule_task


class Scorer(Protocol):
    """A language model that can tell how likely a text is."""

    def prefer(self, prompts: list[str], words: tuple[str, ...]) -> list[list[float]]:
        """log P(word | prompt) of each of `words`, for each prompt; of a word's first token at least."""
        ...

    def likelihood(self, pairs: list[tuple[str, str]]) -> list[float]:
        """log P(text | context) of each (context, text), summed over the text's tokens."""
        ...


def votes(scorer: Scorer, instructions: Sequence[str], bias: Sequence[float]) -> list[list[float]]:
    """For each instruction the score of each of TASKS, the higher the likelier; `bias` is :func:`label_bias`."""
    texts = [normalize(instruction) for instruction in instructions]
    labels = scorer.prefer([label_prompt(text) for text in texts], TASKS)
    channel = scorer.likelihood([(task_prompt(task), f" {text}") for text in texts for task in TASKS])
    found = []
    for at, row in enumerate(labels):
        told = standard([value - liking for value, liking in zip(row, bias, strict=True)])
        heard = standard(channel[at * len(TASKS) : (at + 1) * len(TASKS)])
        found.append([a + b for a, b in zip(told, heard, strict=True)])
    return found


def label_bias(scorer: Scorer) -> list[float]:
    """Mean log P(label) over instructions without labels: how much the model likes each label by itself."""
    seen = scorer.prefer([label_prompt(text) for text in UNLABELLED], TASKS)
    return [sum(row[at] for row in seen) / len(seen) for at in range(len(TASKS))]


def standard(values: Sequence[float]) -> list[float]:
    """With mean 0 and standard deviation 1, so that scores of two kinds can be added; equal ones are all 0."""
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    return [(value - mean) / spread if spread else 0.0 for value in values]
