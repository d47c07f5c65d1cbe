"""Rules of plain English that a program can check: ``python -m tests.repo.english [PATH ...]`` lists what breaks them.

A docstring begins with a verb or with a noun and its article. A sentence of a docstring or of a page has at most
25 words. Code, tables, headings and links count as one word or not at all.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MOST_WORDS = 25
CODE = ("v4e", "actors", "pipelines", "serve", "benchmarks", "scripts", "deploy", "tests/support")
PAGES = ("README.md", "CONTRIBUTING.md", "docs", "tests/README.md", "v4e/assets/README.md")
# First words of a docstring that begins with neither a verb nor a noun.
NO_START = re.compile(
    "about|after|also|although|and|as|at|because|been|being|but|by|during|either|for|from|had|has|have|having|how|if|in|"
    "into|is|it|its|like|likewise|nor|not|of|off|on|or|since|so|such|than|that|their|them|then|there|these|they|this|"
    "those|though|till|to|until|was|were|what|when|where|whether|which|while|who|whom|whose|why|will|with|without|would"
)
DEFINITION = re.compile(r"^\s*([-*+]|\d+\.|\w[\w*, .`/|-]*:)\s")  # a list item, or a name and what it is


def sentences(text: str) -> Iterator[str]:
    """Each sentence of plain or Markdown text, without code blocks, tables, headings, pictures and addresses."""
    text = re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.M | re.S)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r"!\[[^]]*\]\([^)]*\)", "", text)
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"``[^`]+``|`[^`]+`", "code", text)
    paragraph: list[str] = []
    for line in [*text.splitlines(), ""]:
        bare = line.strip()
        breaks = not bare or bare.startswith(("#", "|", ">>>", "<", "---", "===")) or DEFINITION.match(line)
        if breaks and paragraph:
            yield from _split(" ".join(paragraph))
            paragraph = []
        if bare and not bare.startswith(("#", "|", ">>>", "<", "---", "===")):
            paragraph.append(bare)


def _split(paragraph: str) -> Iterator[str]:
    yield from (
        part for part in re.split(r"(?<=[.!?])[\"'*_)\]]*\s+(?=[\"'*_(\[]*[A-Z0-9c])", paragraph) if part.strip()
    )


def words(sentence: str) -> int:
    """Number of words of a sentence; a sign alone is none."""
    return sum(any(c.isalnum() for c in word) for word in sentence.split())


def too_long(text: str) -> list[str]:
    """The sentences of more than 25 words, each with its count."""
    counted = ((words(sentence), sentence) for sentence in sentences(text))
    return [f"{count} words: {sentence[:70]}..." for count, sentence in counted if count > MOST_WORDS]


def in_code(path: Path) -> Iterator[tuple[int, str]]:
    """Line and fault of each docstring of a Python file that breaks a rule."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, kinds) or (text := ast.get_docstring(node)) is None:
            continue
        line = node.body[0].lineno
        first = re.match(r"\W*(\w+('\w+)?)", text)
        if first and NO_START.fullmatch(first[1].lower()) and not text.startswith(("``", "`", ":")):
            yield line, f"begins with {first[1]!r}: {text.splitlines()[0][:70]}"
        yield from ((line, fault) for fault in too_long(text))


def faults(paths: list[Path]) -> list[str]:
    """``file:line: fault`` of every Python and Markdown file at or below `paths` that git tracks or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *map(str, paths)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = []
    for name in sorted(set(listed.stdout.split())):
        path = ROOT / name
        if path.suffix == ".py" and path.exists():
            found += [f"{name}:{line}: {fault}" for line, fault in in_code(path)]
        elif path.suffix == ".md" and path.exists():
            found += [f"{name}: {fault}" for fault in too_long(path.read_text())]
    return found


if __name__ == "__main__":
    listing = faults([Path(p) for p in sys.argv[1:] or (*CODE, *PAGES)])
    print(*listing, f"{len(listing)} to mend", sep="\n")
