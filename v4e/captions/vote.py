"""A language model's vote on the task of an instruction, by calibrated likelihoods, and its count with the rules.

Asked for a label, a small model names its few favourites whatever the instruction is. Two likelihoods, each free of
that liking, tell far more: P(label | instruction), less the label's mean over instructions of all kinds; and
P(instruction | examples of the task), where the label is only in the condition.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from v4e.captions.prompts import UNLABELLED, label_prompt, task_prompt
from v4e.language.tasks import TASKS, normalize, rule_task


class Scorer(Protocol):
    """A language model that can tell how likely a text is."""

    def prefer(self, prompts: list[str], words: tuple[str, ...]) -> list[list[float]]:
        """log P(word | prompt) of each of `words`, for each prompt; of a word's first token at least."""
        ...

    def likelihood(self, pairs: list[tuple[str, str]]) -> list[float]:
        """log P(text | context) of each (context, text), summed over the text's tokens."""
        ...


MAX_BYTES = 500  # of an instruction that are read: a task is named at the start, and the context is short
VotePolicy = Literal["never", "unsure", "all"]
Bias = Callable[[], Sequence[float]]  # that of label_bias; called only where the model votes
# what a rule's word counts beside the model's two scores, of standard deviation 1 each; from the blind set's dev half
SURE, UNSURE = 6.0, 2.0


@dataclass(frozen=True, kw_only=True)
class TaskLabel:
    """The task of an instruction, and who says so."""

    task: str  # "" where nobody knows
    source: str  # corpus | person | rules | llm | both, the last of rules and model
    rule: str  # the rules' label, "" where none applies
    llm: str  # the model's label, "" where it was not asked

    @property
    def agree(self) -> bool:
        """Whether all labels that there are name one task."""
        given = self.task if self.source in ("corpus", "person") else ""
        return len({label for label in (given, self.rule, self.llm) if label}) <= 1


def label_all(
    instructions: Sequence[str], given: Sequence[tuple[str, str]], scorer: Scorer, bias: Bias, ask: VotePolicy
) -> list[TaskLabel]:
    """Labels `instructions`; `given` has each one's (task, source) where its corpus or a person names one, else "".

    The model is asked for ``all``, or ``unsure``: where no task is given and the rules are not sure, or ``never``.
    """
    ruled = [rule_task(text) for text in instructions]
    asked = [
        at for at, (_, sure) in enumerate(ruled) if ask == "all" or (ask == "unsure" and not given[at][0] and not sure)
    ]
    scores = dict(zip(asked, votes(scorer, [instructions[at] for at in asked], bias()), strict=True)) if asked else {}
    found = []
    for at, (rule, sure) in enumerate(ruled):
        llm = best(scores[at]) if at in scores else ""
        task, source = given[at]
        if not task and llm:
            task = best(joined(scores[at], rule, sure))
            source = "both" if task == rule == llm else "rules" if task == rule else "llm"
        elif not task:
            task, source = rule, "rules"
        found.append(TaskLabel(task=task, source=source, rule=rule, llm=llm))
    return found


def joined(scores: Sequence[float], rule: str, sure: bool) -> list[float]:
    """The model's scores with the rule's word counted in."""
    return [
        score + ((SURE if sure else UNSURE) if task == rule else 0.0) for score, task in zip(scores, TASKS, strict=True)
    ]


def best(scores: Sequence[float]) -> str:
    return TASKS[max(range(len(TASKS)), key=scores.__getitem__)]


def votes(scorer: Scorer, instructions: Sequence[str], bias: Sequence[float]) -> list[list[float]]:
    """For each instruction the score of each of TASKS, the higher the likelier; `bias` is :func:`label_bias`."""
    texts = [normalize(instruction).encode()[:MAX_BYTES].decode(errors="ignore") for instruction in instructions]
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
