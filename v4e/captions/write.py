"""The Instruction-to-Caption Generator: a language model proposes captions, checks choose among them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from v4e.captions.checks import check_caption, open_part, reasons, refine, states_what_stays
from v4e.captions.prompts import Prompt, caption_prompt, read_answer
from v4e.captions.templates import core_caption, join_atoms, part_task
from v4e.captions.vote import Bias, Scorer, TaskLabel, VotePolicy, label_all
from v4e.language.inflection import sentence
from v4e.language.reader import read
from v4e.language.tasks import TASKS
from v4e.language.turns import resolve

AtomicEdit = tuple[str, str]  # an atomic instruction, its task
MAX_BYTES = 500  # of an atomic edit; a longer one gets the template, for the context of a small model is short
MADE = ("llm", "retry", "template")  # origins of a caption, the best first


class LanguageModel(Scorer, Protocol):
    """A language model that writes captions, on whatever engine or server."""

    def ask(self, prompts: list[Prompt], samples: int) -> list[list[str]]:
        """Returns `samples` JSON texts for each prompt, the best first; a single sample is the greedy one."""
        ...


@dataclass(frozen=True, kw_only=True)
class CaptionRequest:
    """An instruction to caption, or a session's instructions in order."""

    instruction: str
    turns: tuple[str, ...] = ()  # of a session; each may refer to earlier ones; () = the instruction alone
    task: str = ""  # one of TASKS if it is known already
    source: str = "corpus"  # of the task: corpus | person | rules


@dataclass(frozen=True, kw_only=True)
class WrittenCaption:
    """The caption of an instruction and its origin."""

    caption: str
    label: TaskLabel
    edits: tuple[str, ...]  # atomic ones, in order, references resolved
    turns: tuple[str, ...]  # a caption for each turn of a session; () for a single instruction
    origin: str  # llm: an answer; retry: an answer after a refusal with its reason; template: Table 1
    checks: tuple[str, ...]  # failed ones; empty for llm and retry


def write(
    requests: Sequence[CaptionRequest],
    model: LanguageModel,
    bias: Bias,
    *,
    candidates: int,
    vote: VotePolicy = "unsure",
    new_words: int = 0,
    refined: bool = False,
) -> list[WrittenCaption]:
    """Captions `requests`, in order; the caption is empty if the task is unknown.

    Captions of several atomic edits of one instruction are joined in order to one evolution.

    Raises:
        ValueError: an instruction is empty, or a task is not one of TASKS.
    """
    for request in requests:
        _check(request)
    given = [(request.task, request.source if request.task else "") for request in requests]
    labels = label_all([r.turns[0] if r.turns else r.instruction for r in requests], given, model, bias, vote)
    rows = [_edits(request, label.task) for request, label in zip(requests, labels, strict=True)]
    cores = propose(
        sorted({edit for row in rows for turn in row for edit in turn}, key=_order), model, candidates, new_words
    )
    return [
        _written(request, label, row, cores, new_words, refined)
        for request, label, row in zip(requests, labels, rows, strict=True)
    ]


def propose(
    edits: Sequence[AtomicEdit], model: LanguageModel, candidates: int, new_words: int
) -> dict[AtomicEdit, tuple[str, str]]:
    """Returns (caption without closing clause, origin) of each edit for which the model found a caption.

    The first answer to each edit is greedy. If it fails a check, ``candidates - 1`` answers are sampled and all ranked
    by the number of failed checks. If the best one fails too, it is refused once, with the reason.
    """
    found: dict[AtomicEdit, tuple[str, str]] = {}
    ranked: dict[AtomicEdit, tuple[list[str], str]] = {}  # failed checks, answer: the best so far
    for origin, samples in (("llm", 1), ("llm", candidates - 1), ("retry", candidates)):
        undone = [edit for edit in edits if edit not in found and len(edit[0].encode()) <= MAX_BYTES]
        if not (samples and undone):
            continue
        prompts = [_prompt(edit, ranked.get(edit)) if origin == "retry" else caption_prompt(*edit) for edit in undone]
        for edit, texts in zip(undone, model.ask(prompts, samples), strict=True):
            answers = [sentence(open_part(read_answer(text))) for text in texts]
            tried = [(check_caption(text, *edit, new_words), text) for text in answers]
            tried = [ranked[edit], *tried] if edit in ranked else tried
            failed, text = ranked[edit] = min(tried, key=_failures)
            if not failed:
                found[edit] = (text, origin)
    return found


def _failures(tried: tuple[list[str], str]) -> int:
    return len(tried[0])


def _check(request: CaptionRequest) -> None:
    if not all(text.strip() for text in (request.instruction, *request.turns)):
        raise ValueError("the instruction is empty: reject such rows before captioning")
    if request.task and request.task not in TASKS:
        raise ValueError(f"task is {request.task!r}: expected one of {', '.join(TASKS)}, or an empty string")


def _edits(request: CaptionRequest, task: str) -> list[list[AtomicEdit]]:
    """Returns the atomic edits of each turn with their tasks; none if the task of the whole is unknown."""
    if not task:
        return []
    turns = resolve(request.turns or [request.instruction])
    alone = sum(map(len, turns)) == 1
    return [[(edit, part_task(edit, task, alone=alone)) for edit in turn] for turn in turns]


def _order(edit: AtomicEdit) -> tuple[int, str]:
    """Sorts by task, so that the examples of a task are one prefix in the engine's cache."""
    return TASKS.index(edit[1]), edit[0]


def _prompt(edit: AtomicEdit, refused: tuple[list[str], str] | None) -> Prompt:
    if refused is None or not refused[1]:
        return caption_prompt(*edit)
    failed, text = refused
    return caption_prompt(*edit, refused=f"{text}.", why=reasons(failed, text, edit[0]))


def _written(
    request: CaptionRequest,
    label: TaskLabel,
    turns: list[list[AtomicEdit]],
    cores: dict[AtomicEdit, tuple[str, str]],
    new_words: int,
    refined: bool,
) -> WrittenCaption:
    edits = [edit for turn in turns for edit in turn]
    done = {edit: cores.get(edit) or (core_caption(*edit), "template") for edit in edits}
    by_turn = [join_atoms([done[e][0] for e in turn], [own for _, own in turn], label.task) for turn in turns]
    keeps = [keep for text in request.turns or [request.instruction] for keep in read(text).keeps]
    whole = join_atoms([done[e][0] for e in edits], [own for _, own in edits], label.task, keeps) if edits else ""
    failed = [name for edit in edits for name in check_caption(done[edit][0], *edit, new_words)]
    if whole and not states_what_stays(whole):
        failed.append("stays")
    return WrittenCaption(
        caption=refine(whole) if refined and whole else whole,
        label=label,
        edits=tuple(text for text, _ in edits),
        turns=tuple(refine(text) if refined else text for text in by_turn) if request.turns else (),
        origin=max((origin for _, origin in done.values()), key=MADE.index, default=""),
        checks=tuple(dict.fromkeys(failed)),
    )
