"""Resolves instructions that refer to earlier ones: "make it red", "the same one", "do the same to the dog"."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from v4e.language.inflection import definite, plural
from v4e.language.lexicon import MOVE, WHOLE
from v4e.language.slots import Slots, slots
from v4e.language.tasks import atoms, normalize, rule_task
from v4e.language.words import QUOTED

_SCENERY = re.compile(r"\b(?:background|backdrop|scenery|setting|surroundings)\b", re.I)
_ONE = r"(?:(?:that|the|this) (?:same|very) (?:one|thing)|that one|this one|the latter|that thing|the same(?! \w))"
_OBJECT = re.compile(rf"\b(?:it|them|they|{_ONE})\b(?! (?:look|looks) like)", re.I)
_OWNER = re.compile(r"\b(?:its|their)\b(?= \w)", re.I)
_PERSON = re.compile(
    r"\b(?:the|a|an|his|her|my) (?:[\w-]+ )?(?:man|woman|boy|girl|guy|lady|person|child|kid|baby|bride|groom)\b", re.I
)
_HIS = re.compile(rf"\bhis\b|\bher\b(?= (?!{MOVE}\b)\w)", re.I)
_HIM = re.compile(r"\b(?:him|her|he|she)\b", re.I)
_FORMER = re.compile(r"\bthe former\b", re.I)
_NOUN_ONE = re.compile(r"\b(?P<the>the|that|this) (?P<kind>(?!same |very )(?:[\w-]+ )?)(?<!that )(?<!this )one\b", re.I)
_TOO = re.compile(r"(?: again| too| as well| instead)+$", re.I)
_BARE_THING = re.compile(r"(?:the|that|this|those|these) .+", re.I)
_DEGREE = re.compile(r"(?:make|turn|let) it (?:a (?:bit|little) |much |slightly )?\w+er", re.I)
_THERE = re.compile(
    r"\b(?:in|at|to|on) the same (?:place|spot|position)\b|"
    r"\b(?:over )?there\b(?! (?:should|must|is|are|be))",
    re.I,
)
_SAME = re.compile(
    r"(?:now )?(?:do|repeat) (?:the same|that|this|it)(?: thing)? (?:to|with|for|on) (?P<new>.+?)(?: too| as well)?",
    re.I,
)
_ANOTHER = re.compile(r"\banother one\b|\bone more\b(?! \w)|\ba second one\b", re.I)


@dataclass
class _Memory:
    """The thing, place and edit that later turns may refer to."""

    thing: str = ""  # by its present name: "the cat"
    place: str = ""
    edit: str = ""  # the last atomic edit
    of: str = ""  # the object of the last edit, in its words
    former: str = ""  # the thing before the last one
    person: str = ""


def resolve(turns: Sequence[str]) -> list[list[str]]:
    """Returns the atomic edits of each turn, in order; each is complete without the turns before it.

    The words "it", "them", "that one" and "the same one" become the thing that was edited last, "there" its place.
    The words "another one" become another of that thing, and "do the same to X" the last edit with X in it.
    Words stay if "it" is the picture ("make it night"), and if nothing was named before.

    Raises:
        ValueError: there are no turns, or one is empty.
    """
    if not turns or not all(turn.strip() for turn in turns):
        raise ValueError(f"turns are {list(turns)}: expected one instruction or more, none of them empty")
    memory, found = _Memory(), []
    for turn in turns:
        whole = []
        for atom in atoms(_TOO.sub("", turn.strip())):
            whole.append(_outside_quotes(atom, memory))
            _remember(whole[-1], memory)
        found.append(whole)
    return found


def _outside_quotes(atom: str, memory: _Memory) -> str:
    """Resolves the references of `atom`; quoted text stays."""
    same = _SAME.fullmatch(atom)
    if memory.edit and memory.of and (same or _BARE_THING.fullmatch(_TOO.sub("", atom))):
        new = _replace(definite(same["new"] if same else _TOO.sub("", atom)), atom, memory)
        return memory.edit.replace(memory.of, new, 1)
    pieces, at = [], 0
    for quoted in QUOTED.finditer(atom):
        pieces += [_replace(atom[at : quoted.start()], atom, memory), quoted.group()]
        at = quoted.end()
    return "".join([*pieces, _replace(atom[at:], atom, memory)])


def _replace(piece: str, atom: str, memory: _Memory) -> str:
    if memory.place:
        piece = _THERE.sub(memory.place, piece)
    if memory.person:
        piece = _HIM.sub(memory.person, _HIS.sub(f"{memory.person}'s", piece))
    if not memory.thing:
        return piece
    if memory.former:
        piece = _FORMER.sub(memory.former, piece)
    bare = re.sub(r"^(?:the|his|her|its|their) ", "", memory.thing)
    single = bare.removesuffix("s") if plural(bare) else bare
    noun = re.split(r" (?:a bit|a little|slightly|on|in|at|of|from|with|to|next|behind|under|above)\b", single)[
        0
    ].split()[-1]
    piece = _ANOTHER.sub(f"another {single}", piece)
    piece = _NOUN_ONE.sub(rf"\g<the> \g<kind>{noun}", piece)
    if _of_picture(atom):
        return piece
    piece = _OWNER.sub(f"{memory.thing}'s", piece)
    return _OBJECT.sub(memory.thing, piece)


def _remember(atom: str, memory: _Memory) -> None:
    if who := _PERSON.findall(QUOTED.sub(" ", atom)):
        memory.person = definite(who[-1])
    task, _ = rule_task(atom)
    found = slots(atom, task) if task else None
    if found is None or _of_picture(atom):
        return
    thing = _thing(found, task, atom)
    if not thing or re.fullmatch(WHOLE, thing, re.I):
        return
    if memory.thing and thing.startswith(f"{memory.thing}'s "):
        thing = memory.thing  # after "make its tail longer" it is still the fox
    memory.former = memory.thing if thing != memory.thing else memory.former
    memory.thing, memory.edit, memory.of = thing, atom, found.source
    memory.place = found.place if task == "addition" else memory.place


def _of_picture(atom: str) -> bool:
    """True if the rules are sure that "it" is the picture; else it is the thing."""
    task, sure = rule_task(atom)
    return (sure and task in ("style", "tone") and not _DEGREE.fullmatch(atom)) or bool(_SCENERY.search(atom))


def _thing(found: Slots, task: str, atom: str) -> str:
    if task == "text":
        holder = re.search(r" (?:on|to) (the [\w ]+)$", atom)
        return holder[1] if holder else found.source if found.source.split()[-1].lower() in atom.lower() else "the text"
    if given := re.match(r"give (the .+?) (?:an?|some|two|more) ", atom, re.I):
        return given[1]
    named = found.target if task in ("addition", "replacement") else found.source
    return definite(re.sub(r"^(?:another|one more|some|two|three) ", "", normalize(named), flags=re.I)) if named else ""
