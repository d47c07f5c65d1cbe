"""Hashes of instructions that must not be trained on, those of benchmarks above all, so that no prompt need be kept.

``v4e leakage prompts.txt hashes.txt`` makes ``ingest.refuse`` of a text file, an instruction a
line.
"""

import hashlib
import re
import unicodedata

from v4e.files.uri import read_text

LINE = re.compile(r"[0-9a-f]{64}")


def plain(instruction: str) -> str:
    """Returns letters and digits of any script with single spaces, in one case, to compare instructions."""
    folded = unicodedata.normalize("NFKC", instruction).casefold()
    return re.sub(r"[\W_]+", " ", folded).strip()


def instruction_hash(text: str) -> str:
    """Returns the sha256 in hex of a :func:`plain` instruction."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_hashes(uri: str) -> frozenset[str]:
    """Reads the hashes in a file of ``v4e leakage``; none for "".

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no text, or a line of it is no hash.
    """
    if not uri:
        return frozenset()
    lines = read_text("ingest.refuse", uri).split()
    for number, line in enumerate(lines, 1):
        if not LINE.fullmatch(line):
            raise ValueError(
                f"ingest.refuse={uri}: line {number} is no sha256 but {line[:40]!r}: make the list of a text file by "
                "v4e leakage prompts.txt hashes.txt"
            )
    return frozenset(lines)
