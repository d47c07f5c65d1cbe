"""Hashes instructions that must not be trained on, those of benchmarks above all, so that no prompt need be kept.

v4e leakage prompts.txt hashes.txt; then set ingest.refuse=hashes.txt.
"""

from v4e.config.commands import LeakageOptions
from v4e.data.ingest.leakage import instruction_hash, plain
from v4e.files.uri import open_uri, write_atomic


def run(options: LeakageOptions) -> None:
    """Write the sorted hashes of the instructions of a text file."""
    with open_uri(options.prompts) as file:
        prompts = {plain(line) for line in file.read().decode("utf-8-sig").splitlines()} - {""}
    lines = sorted(instruction_hash(text) for text in prompts)
    write_atomic(options.hashes, "".join(f"{line}\n" for line in lines).encode())
    print(f"{options.hashes}: {len(lines)} instructions; set ingest.refuse={options.hashes}")
