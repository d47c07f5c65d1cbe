"""The vote of a language model on the task of an instruction, by calibrated likelihoods, joined with the rules.

A small model that generates a label names its few favourites for every instruction. Two likelihoods without that bias
are far better. The first is P(label | instruction), less the label's mean over instructions of all kinds. The second is
P(instruction | examples of the task), where the label is only in the condition.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from v4e.captions.prompts import UNLABELLED, label_prompt, task_prompt
from v4e.language.tasks import TASKS, normalize, rule_task


class Scorer(Protocol):
    """A language model that returns likelihoods of texts."""

    def prefer(self, prompts: list[str], words: tuple[str, ...]) -> list[list[float]]:
        """Returns log P(word | prompt) of each of `words`, for each prompt; it may be of a word's first token only."""
        ...

    def likelihood(self, pairs: list[tuple[str, str]]) -> list[float]:
        """Returns log P(text | context) of each (context, text), summed over the text's tokens."""
        ...


MAX_BYTES = 500  # read of an instruction: the task shows at the start, and the context is short
VotePolicy = Literal["never", "unsure", "all"]
Bias = Callable[[], Sequence[float]]  # returns :func:`label_bias`; called only if the model votes
# weight of a rule's label beside the model's two scores of standard deviation 1; from the blind set's dev half
SURE, UNSURE = 6.0, 2.0


@dataclass(frozen=True, kw_only=True)
class TaskLabel:
    """The task of an instruction and the source of that label."""

    task: str  # "" if unknown
    source: str  # corpus | person | rules | llm | both, the last of rules and model
    rule: str  # the rules' label, "" if none applies
    llm: str  # the model's label, "" if it was not asked

    @property
    def agree(self) -> bool:
        """True if all labels of the instruction name one task."""
        given = self.task if self.source in ("corpus", "person") else ""
        return len({label for label in (given, self.rule, self.llm) if label}) <= 1


def label_all(
    instructions: Sequence[str], given: Sequence[tuple[str, str]], scorer: Scorer, bias: Bias, policy: VotePolicy
) -> list[TaskLabel]:
    """Labels `instructions`; `given` holds the (task, source) of each from its corpus or a person, or empty strings.

    By `policy` the model votes on ``all``, ``never``, or ``unsure``: if no task is given and the rules are not sure.
    """
    ruled = [rule_task(text) for text in instructions]
    unsure = [not task and not sure for (task, _), (_, sure) in zip(given, ruled, strict=True)]
    voted = [at for at in range(len(ruled)) if policy == "all" or (policy == "unsure" and unsure[at])]
    scores = dict(zip(voted, votes(scorer, [instructions[at] for at in voted], bias()), strict=True)) if voted else {}
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
    """Adds the weight of the rules' label to the model's scores."""
    return [
        score + ((SURE if sure else UNSURE) if task == rule else 0.0) for score, task in zip(scores, TASKS, strict=True)
    ]


def best(scores: Sequence[float]) -> str:
    """Returns the task with the highest score."""
    return TASKS[max(range(len(TASKS)), key=scores.__getitem__)]


def votes(scorer: Scorer, instructions: Sequence[str], bias: Sequence[float]) -> list[list[float]]:
    """Returns a score of each of TASKS for each instruction, higher if likelier; `bias` is :func:`label_bias`."""
    texts = [normalize(instruction).encode()[:MAX_BYTES].decode(errors="ignore") for instruction in instructions]
    labels = scorer.prefer([label_prompt(text) for text in texts], TASKS)
    channel = scorer.likelihood([(task_prompt(task), f" {text}") for text in texts for task in TASKS])
    found = []
    for at, row in enumerate(labels):
        of_label = standard([value - liking for value, liking in zip(row, bias, strict=True)])
        of_text = standard(channel[at * len(TASKS) : (at + 1) * len(TASKS)])
        found.append([a + b for a, b in zip(of_label, of_text, strict=True)])
    return found


def label_bias(scorer: Scorer) -> list[float]:
    """Returns the mean log P(label) over instructions without labels: the model's liking of each label."""
    seen = scorer.prefer([label_prompt(text) for text in UNLABELLED], TASKS)
    return [sum(row[at] for row in seen) / len(seen) for at in range(len(TASKS))]


def standard(values: Sequence[float]) -> list[float]:
    """Scales to mean 0 and standard deviation 1, so that two kinds of scores can be added; equal values become 0."""
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    return [(value - mean) / spread if spread else 0.0 for value in values]
