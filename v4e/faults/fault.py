"""The error that a user can cause."""

from v4e.faults.codes import CODES


class Fault(ValueError):
    """An error that a user can cause: `code` of :data:`v4e.faults.CODES`, and a line that says what to do.

    The line names the thing, what was expected, what was found, and the remedy. It travels between processes.
    """

    def __init__(self, code: str, message: str) -> None:
        if code not in CODES:
            raise KeyError(f"{code} is no code of v4e/faults/codes.py")
        super().__init__(code, message)
        self.code, self.message = code, message

    def __str__(self) -> str:
        return self.message

    @property
    def line(self) -> str:
        """The message in one line, with the code behind it."""
        return f"{one_line(self.message)} [V4E-{self.code}]"


def one_line(text: str, most: int = 1000) -> str:
    """Returns a text without its line breaks, cut to `most` characters."""
    joined = "; ".join(stripped for line in text.splitlines() if (stripped := line.strip()))
    return joined if len(joined) <= most else f"{joined[: most - 1]}…"
