"""The task of an edit: what the corpus says, what the rules say, and which of the two counts."""

from typing import NamedTuple

from v4e.config import Ingest
from v4e.data.sources.formats import Tasks

AGREEMENTS = (
    "agree",  # the rules name a task that the corpus's label may mean
    "corpus",  # the label means one task, and no rule applies
    "rules",  # there is no label, and a rule is sure
    "unsure",  # a weak rule alone, or a label of several tasks alone
    "differ",  # the rules name a task that the label cannot mean
    "none",  # nobody knows
)


class Decision(NamedTuple):
    """The task of an edit, "" if it is left out, and how label and rules agree on it."""

    task: str
    agreement: str


def decide(label: Tasks, ruled: str, sure: bool, ingest: Ingest) -> Decision:
    """Returns one task from a corpus's label and the rules' answer, by ``ingest.disagree`` and ``ingest.unsure``.

    Args:
        label: the tasks that the label may mean, the likeliest first.
        ruled, sure: the result of :func:`v4e.language.tasks.rule_task`.
    """
    weak = ruled if ingest.unsure == "keep" else ""
    if not label:
        if not ruled:
            return Decision("", "none")
        return Decision(ruled, "rules") if sure else Decision(weak, "unsure")
    if ruled in label:
        return Decision(ruled, "agree")
    if not ruled:
        if len(label) == 1:
            return Decision(label[0], "corpus")
        return Decision(label[0] if ingest.unsure == "keep" else "", "unsure")
    return Decision({"drop": "", "corpus": label[0], "rules": ruled}[ingest.disagree], "differ")
