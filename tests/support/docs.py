"""The pages of the documentation, and the commands that they tell a reader to type."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import ROOT

PAGES = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("README.md", "CONTRIBUTING.md", "v4e/assets/README.md", "docs/**/*.md")
    for path in ROOT.glob(pattern)
)
PROGRAMS = ("v4e", "python", "ray", "make")


@dataclass(frozen=True)
class Command:
    """A line that a page tells its reader to type."""

    page: str
    line: str

    def __str__(self) -> str:
        return f"{Path(self.page).stem}: {self.line[:60]}"

    @property
    def words(self) -> list[str]:
        """The words as a shell splits them, without a comment."""
        return shlex.split(self.line, comments=True)


def commands(page: str) -> list[Command]:
    """Return all lines of blocks marked bash, and commands of other blocks and in backticks; variables are filled in.

    Outside a bash block, a command begins with one of PROGRAMS; one with dots for what is left out is none.
    """
    text = (ROOT / page).read_text()
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    typed = [(kind, line) for kind, block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines = [line for kind, line in typed if kind == "bash" or line.startswith(tuple(f"{p} " for p in PROGRAMS))]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    lines += re.findall(rf"`((?:{'|'.join(PROGRAMS)}) [^`]+)`", prose)
    found, variables = [], dict[str, str]()
    for line in (line for line in lines if "..." not in line and line.strip()):
        for name, value in variables.items():
            line = line.replace(f"${name}", value)
        if line.startswith("export "):
            variables |= dict(part.split("=", 1) for part in shlex.split(line)[1:])
        else:
            found.append(Command(page, line))
    return found
