"""The end of a run that a judge does not answer, told from single questions that it cannot answer."""

import re

from v4e.faults import Fault

EQUAL = 5  # refusals in equal words, before any reply, that are about the request itself


class Silence:
    """The questions in a row that got no reply. They are held back until one gets one, or the run ends.

    What is held back is not recorded, so that the same command asks it again.
    """

    def __init__(self, most: int, answered: bool) -> None:
        """Ends a run after `most` in a row; `answered` says whether this judge has ever replied to such questions."""
        self.most, self.answered = most, answered
        self.held: list[dict] = []

    def take(self, record: dict, *, lost: bool, doubtful: bool) -> list[dict]:
        """Returns the records that may be kept now.

        Raises:
            ValueError: so many in a row got no reply that the judge, or the request, is at fault.
        """
        if not lost and (self.answered or not doubtful):
            self.answered = True
            return [*self._let_go(), record]
        self.held.append(record)
        equal = sum(_words(one["reason"]) == _words(record["reason"]) for one in self.held)
        if doubtful and equal >= EQUAL:
            raise self._error(f"the judge refuses every request, {equal} of them in the same words")
        if len(self.held) >= self.most:
            raise self._error(f"{len(self.held)} questions in a row got no reply (judge.give_up={self.most})")
        return []

    def end(self) -> list[dict]:
        """Returns the records that were held back.

        Raises:
            ValueError: the judge never replied.
        """
        if self.held and not self.answered:
            raise self._error(f"none of {len(self.held)} questions got a reply")
        return self._let_go()

    def _let_go(self) -> list[dict]:
        held, self.held = self.held, []
        return held

    def _error(self, what: str) -> Fault:
        return Fault(
            "J01",
            f"{what}, the last: {self.held[-1]['reason']}; the same command goes on where this one stopped, and "
            "judge.parameters leaves out or renames a parameter that the judge does not know",
        )


def _words(reason: str) -> str:
    """The reason without what differs between requests: numbers and ids."""
    return re.sub(r"\S*\d\S*", "#", reason)
