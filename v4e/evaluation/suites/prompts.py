"""The judge's prompts as files hold them: read without running anything, and compared with the official hashes."""

import ast
import hashlib
import json
import string
from collections.abc import Iterable, Mapping
from pathlib import Path

from v4e.config import Bench
from v4e.evaluation.suites.items import SuiteItem

PROMPTS = "Benchmark/Basic/prompts.json"
OFFICIAL = {
    "gedit SC": "8f529562c2f89f8db51a3f7cc4d487686f676909c21010b67b0e65ec78150de5",
    "gedit PQ": "2473ff2c7406e06545c5c039ceb039ff2604ebacf150868a48f0bf07c9e733b0",
    PROMPTS: "f9468dc848776ee0a6c2e2c31e678c7224e9cb61b013747c8c52d4a05627b5a0",
    "rise": "8f223abdc61aaeb3a6c50bebc5ba37a852d409cb9741c3e06b0693b37cfc3855",  # utils.py at commit 5f22651
    "uge": "6cbfbab32009ec5b00d3ed923c147527d9b1365f48b3ea6e8111339a39336da6",
}


def repeated(kinds: Iterable[str], passes: int) -> tuple[str, ...]:
    """Returns `kinds` as they are asked `passes` times: SC, PQ, SC2, PQ2, ..."""
    return tuple(f"{kind}{'' if p == 1 else p}" for p in range(1, passes + 1) for kind in kinds)


def again(kind: str) -> int:
    """Returns how often the same was asked before `kind`."""
    return int(kind.lstrip(string.ascii_letters) or 1) - 1


def base(kind: str) -> str:
    """Returns the question that `kind` repeats: SC of SC2."""
    return kind.rstrip(string.digits)


def kinds_of(item: SuiteItem, kinds: Iterable[str]) -> list[str]:
    """Returns those of a rubric's `kinds` that are asked about `item`."""
    return [kind for kind in kinds if not item.kinds or base(kind) in item.kinds]


def filled(name: str, text: str, **values: object) -> str:
    """Returns a prompt with `values` in its braces.

    Raises:
        ValueError: its braces name something else.
    """
    try:
        return text.format(**values)
    except (LookupError, ValueError, AttributeError) as error:
        raise ValueError(f"the judge prompt {name} has braces for {error}; expected {', '.join(values)}") from error


def part(parts: dict[str, str], name: str, file: Path) -> str:
    """Returns the prompt `name` of `file`.

    Raises:
        ValueError: it is not there.
    """
    if name not in parts:
        raise ValueError(f"{file} assigns no string to {name}, as the official file does: check it out again")
    return parts[name]


def check(bench: Bench, hashes: dict[str, str], key: str) -> None:
    """Refuses prompts that are not the official ones, where ``bench.rubrics`` is official."""
    wrong = [name for name, found in hashes.items() if OFFICIAL.get(name) != found]
    if bench.rubrics == "official" and wrong:
        raise ValueError(
            f"bench.{key}: the judge prompts {', '.join(wrong)} have sha256 "
            f"{', '.join(hashes[name][:12] for name in wrong)}, not the official one: check out the official code, "
            "or set bench.rubrics=given to use them as they are, for unofficial scores"
        )


def strings_of(file: Path) -> dict[str, str]:
    """The string constants that a Python file assigns at its top level. The file is parsed, never run.

    Raises:
        ValueError: it is no Python.
    """
    found = {}
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{file} is no Python file ({error}): check it out again") from error
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            found |= {target.id: node.value.value for target in node.targets if isinstance(target, ast.Name)}
    return found


def digest(text: str) -> str:
    """Returns the sha256 of a prompt, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of(prompts: Mapping[str, str]) -> str:
    """Returns the sha256 of several prompts by name, in whatever order."""
    return digest(json.dumps(dict(prompts), sort_keys=True))
