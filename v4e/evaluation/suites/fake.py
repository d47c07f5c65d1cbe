"""A judge that looks at nothing: for tests of everything around it. Its scores never make a headline."""

import hashlib
from collections.abc import Sequence

from v4e.evaluation.suites.items import Question, Reply


def fake(questions: Sequence[Question], attempt: int) -> list[Reply]:
    """Scores drawn from the question's digest; every eighth question is answered readably at the second try only."""
    return [_reply(question, attempt) for question in questions]


def _reply(question: Question, attempt: int) -> Reply:
    drawn = hashlib.sha256(question.digest.encode()).digest()
    if drawn[0] % 8 == 0 and attempt == 0:
        return Reply(text="I would rather not say.", tokens_in=1, tokens_out=6)
    if '"score"' in question.text:
        return Reply(text=f'{{"score": [{drawn[1] % 11}, {drawn[2] % 11}], "reasoning": "drawn"}}', tokens_out=12)
    names = [line.split(":")[0] for line in question.text.splitlines() if ": N" in line or ": A number" in line]
    return Reply(text="\n".join(f"{name}: {1 + drawn[3 + n] % 5}" for n, name in enumerate(names)), tokens_out=12)
