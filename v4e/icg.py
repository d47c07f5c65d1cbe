"""The Instruction-to-Caption Generator without its engine: a model proposes, checks choose."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from v4e.captions import check_caption, open_part, refine
from v4e.prompts import caption_prompt
from v4e.tasks import TASKS, atoms, rule_task
from v4e.templates import core_caption, join_atoms, part_task
from v4e.words import sentence

Ask = Callable[[list[str], int], list[list[str]]]  # prompts, samples each (1 = greedy) -> texts, best guess first
Label = Callable[[list[str]], list[str]]  # instructions -> tasks


@dataclass(frozen=True, kw_only=True)
class Request:
    """An instruction to caption, and the task its corpus gives it; "" where the corpus has none of TASKS."""

    instruction: str
    task: str = ""


@dataclass(frozen=True, kw_only=True)
class Written:
    """A captioned instruction, and how it came about."""

    caption: str
    task: str
    task_source: str  # corpus | rules | llm
    origin: str  # llm: first answer; retry: one of the samples; template: Table 1
    checks: tuple[str, ...]  # failed ones; empty for llm and retry


def write(
    requests: Sequence[Request],
    ask: Ask,
    label: Label,
    *,
    candidates: int,
    new_words: int = 0,
    refined: bool = False,
) -> list[Written]:
    """Captions ``requests``, in order.

    Each atomic edit is asked for once, greedily; only those whose answer fails a check are sampled
    ``candidates - 1`` times more, and what still fails gets the template. Captions of several atomic edits of
    one instruction are joined in order.

    Raises:
        ValueError: an instruction is empty, or a task is not one of TASKS.
    """
    tasks = label_tasks(requests, label)
    parts = [
        [(part, part_task(part, task, alone=len(found) == 1)) for part in found]
        for found, (task, _) in zip([atoms(r.instruction) for r in requests], tasks, strict=True)
    ]
    # sorted by task, so that the examples of a task are one prefix in the engine's cache
    open_edits = sorted({edit for row in parts for edit in row}, key=lambda edit: (TASKS.index(edit[1]), edit[0]))
    cores: dict[tuple[str, str], tuple[str, str]] = {}  # (instruction, task) of an atomic edit -> core, origin
    for origin, samples in (("llm", 1), ("retry", candidates - 1)):
        asked = [edit for edit in open_edits if edit not in cores]
        if not (samples and asked):
            continue
        answers = ask([caption_prompt(*edit) for edit in asked], samples)
        for edit, texts in zip(asked, answers, strict=True):
            proposals = [sentence(open_part(text.strip())) for text in texts]
            good = [text for text in proposals if not check_caption(text, *edit, new_words)]
            if good:
                cores[edit] = (good[0], origin)
    written = []
    for row, (task, source) in zip(parts, tasks, strict=True):
        done = [cores.get(edit) or (core_caption(*edit), "template") for edit in row]
        failed = [
            name for edit, (core, _) in zip(row, done, strict=True) for name in check_caption(core, *edit, new_words)
        ]
        caption = join_atoms([core for core, _ in done], [own for _, own in row], task)
        written.append(
            Written(
                caption=refine(caption) if refined else caption,
                task=task,
                task_source=source,
                origin=max((origin for _, origin in done), key=("llm", "retry", "template").index),
                checks=tuple(dict.fromkeys(failed)),
            )
        )
    return written


def label_tasks(requests: Sequence[Request], label: Label) -> list[tuple[str, str]]:
    """(task, where it is from) of each request: the corpus, else sure rules, else the model."""
    found: list[tuple[str, str]] = []
    for request in requests:
        if not request.instruction.strip():
            raise ValueError("the instruction is empty: reject such rows before captioning")
        if request.task and request.task not in TASKS:
            raise ValueError(f"task is {request.task!r}: expected one of {', '.join(TASKS)}, or an empty string")
        task, sure = (request.task, True) if request.task else rule_task(request.instruction)
        found.append((task if sure else "", "corpus" if request.task else "rules"))
    unsure = [at for at, (task, _) in enumerate(found) if not task]
    if unsure:
        for at, task in zip(unsure, label([requests[at].instruction for at in unsure]), strict=True):
            found[at] = (task, "llm")
    return found
