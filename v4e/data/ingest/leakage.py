"""Hashes of instructions that must not be trained on, those of benchmarks above all, so that no prompt need be kept.

``python -m v4e.data.ingest.leakage prompts.txt hashes.txt`` makes ``ingest.refuse`` of a text file, an instruction a
line.
"""

import hashlib
import re
import sys
import unicodedata

from v4e.files.uri import open_uri, read_text, write_atomic

LINE = re.compile(r"[0-9a-f]{64}")


def plain(instruction: str) -> str:
    """Letters and digits of any script with single spaces, in one case: what two same instructions share."""
    folded = unicodedata.normalize("NFKC", instruction).casefold()
    return re.sub(r"[\W_]+", " ", folded).strip()


def instruction_hash(text: str) -> str:
    """sha256 in hex of a :func:`plain` instruction."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_hashes(uri: str) -> frozenset[str]:
    """The hashes in a file that this module wrote; none for "".

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
                "python -m v4e.data.ingest.leakage prompts.txt hashes.txt"
            )
    return frozenset(lines)


def main() -> None:
    if len(sys.argv) != 3:
        print("usage: python -m v4e.data.ingest.leakage prompts.txt hashes.txt", file=sys.stderr)
        raise SystemExit(2)
    with open_uri(sys.argv[1]) as file:
        prompts = {plain(line) for line in file.read().decode("utf-8-sig").splitlines()} - {""}
    lines = sorted(instruction_hash(text) for text in prompts)
    write_atomic(sys.argv[2], "".join(f"{line}\n" for line in lines).encode())
    print(f"{sys.argv[2]}: {len(lines)} instructions; set ingest.refuse={sys.argv[2]}")


if __name__ == "__main__":
    main()
