"""The checks of captions as a classifier, and the resolver of references over turns.

`python -m benchmarks.data.checks texts=dev.jsonl [errors=1]`

The texts are labelled instructions with reference captions, which must not lie in this repository. The references are
good captions. Bad ones are made of them by faults that were read in captions: half a phrase, a wrong number, the
order pasted. Others name another edit, the opposite, a color that nobody named, or a word twice. A caption is
rejected if a check fails. Captions of compounds are good ones too, clause by clause; one adverb may serve them all.
The turns are those of benchmarks/instructions/sessions.txt.
"""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.data.captions import INSTRUCTIONS
from benchmarks.data.reader import share
from benchmarks.support.result import write_result
from v4e.captions.checks import check_caption, open_part
from v4e.language.clauses import clauses
from v4e.language.inflection import sentence, third_person
from v4e.language.reader import read
from v4e.language.tasks import TASKS
from v4e.language.turns import resolve

COMMAND = "python -m benchmarks.data.checks texts=dev.jsonl"
OPPOSITE = {"addition": ("appear", "fade away"), "removal": ("fade", "appear")}
_HALF = re.compile(r"(.* (?:into|to|becomes?|adopts?)) (?!the (?:left|right)).+")
_NEXT = re.compile(r", (?:and )?(?=the |an? )")
_VERB = re.compile(r"(?<=gradually )(\w+?)(s?)\b(?! and)")


def faults(core: str, instruction: str, task: str, other: str) -> Iterator[tuple[str, str]]:
    """Yields (kind of fault, bad caption) made of the good caption `core`; `other` is another edit's of the task."""
    if half := _HALF.fullmatch(core):
        yield "half", half[1]
    if verb := _VERB.search(core):
        wrong = verb[1] if verb[2] else third_person(verb[1])
        yield "number", f"{core[: verb.start()]}{wrong}{core[verb.end() :]}"
    yield "pasted", f"The {instruction[:1].lower()}{instruction[1:]} gradually changes"
    yield "other", other
    if task in OPPOSITE:
        mine, against = OPPOSITE[task]
        yield "opposite", re.sub(rf"\b{mine}(s?)(?: away)?\b", against, core)
    words = core.split()
    yield "invented", " ".join([*words[:-1], "turquoise", words[-1]])
    yield "twice", " ".join([*words[:2], *words[1:]])


def sessions() -> list[tuple[list[str], list[str]]]:
    """Returns the turns of each session, and their right edits in one text a turn."""
    blocks = (INSTRUCTIONS / "sessions.txt").read_text().split("\n\n")
    lines = [[line.split(" => ") for line in block.split("\n") if " => " in line] for block in blocks]
    return [([said for said, _ in block], [means for _, means in block]) for block in lines]


def parts_of(rows: Sequence[dict]) -> Iterator[tuple[str, str, str]]:
    """Yields (clause, caption, task) of captions of compounds that can be cut into as many parts as there are edits."""
    for row in rows:
        if row["caption"] and row["lang"] == "en" and row["task"] == "compound":
            edits, cores = read(row["instruction"]).parts, _NEXT.split(open_part(row["caption"]))
            if len(edits) == len(cores) == len(row["tasks"]):
                yield from (
                    (edit.text, sentence(core), task)
                    for edit, core, task in zip(edits, cores, row["tasks"], strict=True)
                    if task in TASKS
                )


def main() -> None:
    given = dict(arg.split("=", 1) for arg in sys.argv[1:])
    rows = [json.loads(line) for line in Path(given["texts"]).read_text().split("\n") if line]
    good = []
    for row in rows:
        parts = clauses(row["instruction"])
        if row["caption"] and row["lang"] == "en" and row["task"] in TASKS and len(parts.edits) == 1:
            good.append((parts.shown(parts.edits[0]), open_part(row["caption"]), row["task"]))
    good.sort(key=lambda row: TASKS.index(row[2]))
    rejected: dict[str, list[bool]] = {"good": []}
    for at, (text, core, task) in enumerate(good):
        other = next((o for t, o, k in (*good[at + 1 :], *good) if k == task and o != core and t != text), "")
        for kind, caption in (("good", core), *faults(core, text, task, other)):
            failed = check_caption(caption, text, task)
            rejected.setdefault(kind, []).append(bool(failed))
            if given.get("errors") and bool(failed) == (kind == "good"):
                print(kind, failed, "|", text, "|", caption)
    rejected["good_parts"] = []
    for text, core, task in parts_of(rows):
        failed = set(check_caption(core, text, task)) - {"gradual"}
        rejected["good_parts"].append(bool(failed))
        if given.get("errors") and failed:
            print("good_parts", failed, "|", text, "|", core)
    parts = rejected.pop("good_parts")
    bad = [value for kind, values in rejected.items() if kind != "good" for value in values]
    figures = [share("rejected_good", rejected.pop("good")), share("rejected_bad", bad)]
    figures.append(share("rejected_good_parts", parts))
    figures += [share(f"rejected_{kind}", values) for kind, values in rejected.items()]
    turns = [
        "; ".join(edits).lower() == means.lower()
        for said, right in sessions()
        for edits, means in zip(resolve(said), right, strict=True)
    ]
    figures.append(share("turns", turns))
    found = {row["what"]: row["share"] for row in figures}
    even = found["rejected_bad"] / (found["rejected_bad"] + found["rejected_good"])
    write_result("checks", COMMAND, figures, found | {"precision_at_as_many_bad_as_good": round(even, 4)})


if __name__ == "__main__":
    main()
