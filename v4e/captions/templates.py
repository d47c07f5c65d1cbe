"""Captions from the templates of Table 1, filled with the slots of an instruction, without a model."""

import re
from collections.abc import Sequence
from dataclasses import replace

from v4e.captions.checks import keeps
from v4e.captions.grammar import pasted
from v4e.captions.passive import passive
from v4e.language.inflection import (
    definite,
    gerund,
    participle,
    plural,
    possessive,
    sentence,
    third_person,
    with_article,
)
from v4e.language.lexicon import MOVE, WHOLE
from v4e.language.reader import read
from v4e.language.slots import Slots, slots
from v4e.language.tasks import TABLE1, TASKS, atoms, normalize, rule_task
from v4e.language.words import COLORS, FUNCTION, QUOTED

# a clause that names a thing that stays; those that name all, or a whole sentence, have no closing of their own
_KEPT = re.compile(
    r"(?:(?:while|and|but|still|always|please) )*(?:keep(?:ing)?|retain(?:ing)?|maintain(?:ing)?|preserv(?:e|ing)|"
    r"(?:without|don't|do not|never|avoid) \w+) (?P<thing>(?!everything|all\b|it\b|them\b)"
    r"(?:[^\s,.;]+ ){0,9}?[^\s,.;]+?)(?: (?:(?:exactly|completely|still|all) )?"
    r"(?:unchanged|intact|the same|as is|as (?:it is|they are)|untouched|in place))?",
    re.I,
)


def template_caption(instruction: str, task: str) -> str:
    """Returns Table 1's caption of `instruction` with its closing clause; always succeeds.

    Several atomic edits keep their order. The closing clause belongs to `task` if all of them do.

    Raises:
        ValueError: ``task`` is not one of TASKS.
    """
    if task not in TASKS:
        raise ValueError(f"task is {task!r}: expected one of {', '.join(TASKS)}")
    parts = [(part, part_task(part, task, alone=False)) for part in atoms(instruction)]
    if len(parts) == 1:
        parts = [(parts[0][0], task)]
    return join_atoms([core_caption(*part) for part in parts], [t for _, t in parts], task, read(instruction).keeps)


def part_task(part: str, task: str, *, alone: bool) -> str:
    """Returns the task of an atomic edit: its own if it is one of several and the reader knows it, else `task`."""
    own, _ = rule_task(part)
    return own if own and not alone else task


def join_atoms(cores: list[str], tasks: list[str], task: str, keeps: Sequence[str] = ()) -> str:
    """Joins captions of atomic edits without closing clauses to one caption; its closing names what `keeps` names."""
    closing = TABLE1[task].closing if set(tasks) == {task} else "everything else remains still"
    things = [definite(found["thing"]) for keep in keeps if (found := _KEPT.fullmatch(keep))]
    if things:
        closing = f"{' and '.join(things)} and everything else remain unchanged"
    rest = [core[0].lower() + core[1:] if core.split(" ", 1)[0].lower() in FUNCTION else core for core in cores[1:]]
    return f"{', then '.join([cores[0], *rest])}, while {closing}."


def core_caption(instruction: str, task: str) -> str:
    """Returns the caption of one atomic edit without closing clause; in the passive voice if no slots fit."""
    found = slots(instruction, task)
    core = _fill(found, task) if found else ""
    if not core or pasted(core, normalize(instruction)) or not keeps(core, instruction, lists=True):
        return passive(normalize(instruction), task)
    return core


# what stands between a verb and what a thing becomes: "to look like stone", "to be covered in moss"
_LIKE = re.compile(
    r"^(?:to )?(?:be(?:come)?|look(?: like| as (?:if|though) (?:it|they) (?:is|are|was|were)(?: made)?(?: of)?)?|"
    r"like|appear(?: to be| as (?:if|though) (?:it|they) (?:is|are|was|were))?|resemble|mimic|have|show|made of|"
    r"the style of) "
    r"(?:made of )?(?:it(?:'s| is) )?(?:made of )?",
    re.I,
)


def _fill(found: Slots, task: str) -> str:
    found = replace(found, target=_LIKE.sub("", found.target), source=re.sub(r" to be$", "", found.source))
    s = "" if plural(found.source) else "s"
    source = sentence(definite(found.source)) if found.source else ""
    if task == "removal" or found.verb == "fade away":
        return f"{source} gradually fade{s} away"
    if found.verb == "appear":
        new = re.sub(r"^an? (?=.*\b(?:lipstick|makeup|make-up|mascara|eyeliner)$)", "", found.source)
        return f"{sentence(new)} gradually appear{s} {found.place}".rstrip()
    match task:
        case "addition":
            verb = "appear" if plural(found.target) else "appears"
            return f"{sentence(with_article(found.target))} gradually {verb} {_in_place(found.place)}".rstrip()
        case "replacement":
            return f"{source} gradually turn{s} into {_one(found.target)} in place"
        case "background":
            return _background(found, source, s)
        case "color" if re.search(r"er$", found.target) and found.target not in COLORS:
            return f"{source} gradually become{s} {found.target}"
        case "color":
            return f"{_part(source, 'color')} gradually shifts {_to(found)}"
        case "material":
            found = replace(found, target=re.sub(r"^an? (.+) one$", r"\1", found.target))
            if re.search(
                r"\b(?:made|carved|built) |^(?:an?|another) (?!.*(?:texture|pattern|finish|look|surface)$)",
                found.target,
            ):
                return f"{source} gradually turn{s} into {found.target}"
            if re.search(r"\b(?:texture|pattern|finish|look|surface)$", found.target):
                return f"{source} gradually take{s} on {with_article(found.target)}"
            return f"{_part(source, 'texture')} gradually becomes {re.sub('^an? ', '', found.target)}"
        case "text":
            return _text(found, source, s)
        case "style":
            if re.match("as (?:if|though)", found.target, re.I):
                return f"The scene gradually looks {found.target[:1].lower()}{found.target[1:]}"
            if QUOTED.search(found.target) or "'s " in found.target:
                return f"The scene gradually adopts the style of {found.target}"
            named = with_article(re.sub("^the (?!.* of )", "", found.target))
            whole = re.search(r"\b(?:style|photo\w*|poster|look|image|filter|effect)\b", named, re.I)
            return f"The scene gradually adopts {named}{'' if whole else ' style'}"
        case "tone":
            return _tone(found, s)
        case "portrait":
            return _portrait(found, source, s)
        case _:
            return _motion(found, source, s)


def _one(target: str) -> str:
    """Gives a short noun phrase its article; longer ones may be plural or have a name."""
    return with_article(target) if re.fullmatch(r"[a-z-]+(?: [a-z-]+)?", target) else target


def _part(source: str, part: str) -> str:
    """Returns ``The car's color``, or with a preposition in `source` ``The color of the leaves on the tree``."""
    if re.search(rf"\b{part}s?\b", source):
        return source
    if re.search(r" (?:on|of|in|at|with|behind|under|above|beside|near|next) ", source):
        return f"The {part} of {source[:1].lower()}{source[1:]}"
    return f"{possessive(source)} {part}"


def _background(found: Slots, source: str, s: str) -> str:
    if re.search(
        r"\b(?:background|backdrop|behind|surroundings?|environment|landscape|view|setting|scenery|location)\b", source
    ):
        return f"{source} slowly transform{s} into {found.target}"
    around = f" around {source[:1].lower()}{source[1:]}" if source else ""
    return f"The background{around} slowly transforms into {_scene(found.target)}"


def _text(found: Slots, source: str, s: str) -> str:
    match found.verb:
        case "":
            if found.place == "itself":  # what is named is the text: a date, a title
                return f"{source} gradually change{s} to {found.target}"
            if re.search(r"\btext\b|\bletters?\b|\bwords?\b|\u201c", source):
                after = f" {found.place}" if not found.place.startswith("from") and found.place else ""
                return f"{source} gradually change{s} {f'to {found.target}{after}' if after else _to(found)}"
            return f"{possessive(source)} text gradually changes {_to(found)}"
        case "become":
            return f"{source} gradually become{s} {found.target}"
        case verb:
            return f"{source} {'is' if s else 'are'} gradually {participle(verb)} {found.place}".rstrip()


def _motion(found: Slots, source: str, s: str) -> str:
    if found.target:
        return f"{source} gradually change{s} {_to(found)}"
    if found.verb.endswith("ing"):
        return f"{source} {'is' if s else 'are'} slowly {found.verb.lower()} {found.place}".rstrip()
    first, _, rest = found.verb.lower().partition(" ")
    if " to " in found.place and first in ("change", "turn", "adjust"):
        return ""
    if first in ("place", "put") and found.place in ("up", "down"):
        return f"{source} slowly move{s} {found.place}"
    if first in ("place", "put"):
        return passive(f"{first} {found.source} {found.place}".rstrip(), "motion")
    verb = third_person(first) if s else first
    return f"{source} slowly {verb} {rest} {found.place}".replace("  ", " ").rstrip()


def _to(found: Slots) -> str:
    return f"{found.place} to {found.target}".lstrip()


def _in_place(place: str) -> str:
    place = place[:1].lower() + place[1:]
    if re.fullmatch(rf"(?:to|in|into|on) {WHOLE}", place):
        return ""
    if verb := re.match(rf"{MOVE}\b", place):
        return gerund(verb.group()) + place[verb.end() :]
    if re.match(r"(?:top|bottom|upper|lower)\b", place, re.I):
        return f"in the {place}"
    place = re.sub(r"^to (?=the (?:top|bottom|upper|lower|center|middle)\b)|^into ", "in ", place)
    return re.sub(r"^to (?!the (?:left|right) of\b)", "on ", place)


def _scene(target: str) -> str:
    bare = re.sub(r"^an? ", "", target, flags=re.I)
    bare = re.sub(r" (?:scene|background|backdrop)$", "", bare, flags=re.I)
    if bare.endswith(" setting"):
        return with_article(bare)
    if re.match(r"(?:the|some|its|his|her)\b", bare, re.I) or len(bare.split()) > 3 or bare.lower() in COLORS:
        return target
    return with_article(f"{bare} scene")


def _tone(found: Slots, s: str) -> str:
    whole = not found.source or re.fullmatch(f"everything|{WHOLE}", found.source, re.I)
    subject, be = ("The image", "is") if whole else (sentence(definite(found.source)), "is" if s else "are")
    if found.verb and whole and not found.place:
        return f"{subject} gradually {third_person(found.verb.lower())}"
    if found.verb:
        return f"{subject} {be} gradually {participle(found.verb)} {found.place}".rstrip()
    if found.source:
        return f"{subject} gradually become{s} {found.target}"
    target = found.target
    if re.search(r"\b(?:grade|tone|filter|look|mood|atmosphere|light|lighting|effect)$", target):
        return f"The image gradually shifts to {with_article(target)}"
    return f"The image gradually becomes {target}"


def _portrait(found: Slots, source: str, s: str) -> str:
    if found.verb:
        return f"{source} {'is' if s else 'are'} gently {participle(found.verb)} over time"
    if re.match(r"an? |the ", found.target, re.I):
        return f"{source} gradually turn{s} into {found.target}"
    verb = "become" if re.search(r"er$|^bald$|^(?:more|less|\d+ years) ", found.target) else "turn"
    return f"{source} gradually {verb}{s} {found.target}"
