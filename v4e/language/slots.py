"""The slots of an atomic edit instruction (source, target, place, verb), as the tagger of roles reads them."""

import re
from dataclasses import dataclass

from v4e.language.inflection import definite, possessive, with_article
from v4e.language.lexicon import ADD, REMOVE, WHOLE
from v4e.language.roles import roles
from v4e.language.tasks import DECIDED, normalize
from v4e.language.words import QUOTED, content, verbatim


@dataclass(frozen=True)
class Slots:
    """The parts of one atomic edit; "" if the instruction does not name one."""

    source: str = ""  # the state before
    target: str = ""  # the state after
    place: str = ""  # with its preposition; for a color, the one before
    verb: str = ""  # of a motion or retouch, bare form


# roles without which a task's sentence cannot be written
_NEEDED = {"removal": "S", "addition": "T", "style": "T", "replacement": "ST", "color": "ST", "material": "ST"}
_SCENERY = r"(?:the |its )?(?:background|backdrop|scenery|setting)"


def slots(instruction: str, task: str) -> Slots | None:
    """Returns the slots of one atomic edit of `task`; None if it names neither what is edited nor what it becomes."""
    text = normalize(instruction)
    if task == "text" and (found := _text_slots(text)):
        return found
    for name, pattern in DECIDED:
        if name == task and (match := re.fullmatch(pattern, text, re.I)):
            return Slots(**match.groupdict(""))
    if re.search(r"^\w+ and |\bby \w+ing\b", text):
        return None
    at = roles(text, task)
    source, target, place, does = (text[slice(*at.get(role, (0, 0)))].strip(" ,") for role in "STPD")
    verb = text.split(" ", 1)[0]
    if re.fullmatch({"background": _SCENERY, "tone": WHOLE, "style": WHOLE}.get(task, "-"), source, re.I) and target:
        source = ""
    if (
        any(role not in at for role in _NEEDED.get(task, ""))
        or not at
        or {source.lower(), target.lower()} & {"the", "a", "an"}
    ):
        return None
    if re.match(r"(?:it|him|her|them|me)\b" if task == "addition" else r"that ", target, re.I):
        return None
    if task in ("portrait", "text", "background") and not target and re.match(REMOVE, text, re.I):
        return Slots(source, verb="fade away")
    if task == "background" and not target:
        return None
    if task in ("portrait", "text") and not source and re.match(rf"{ADD}|give", text, re.I):
        return Slots(with_article(target), place=place, verb="appear")
    if task in ("color", "replacement") and re.search(r"^dress\b|\bwear\b", text):
        source = f"{possessive(definite(re.sub('^them$', 'the people', source)))} clothes"
    bare = verb.lower() == "give" or re.match(r"(?:the|an?|this|that|his|her|its|my|both|all|each|him|it)\b", place)
    if task == "addition" and place and bare:
        place = f"on {definite(place)}"
    if task == "color" and place and not place.startswith("from "):
        place = f"from {place}"
    if target and task == "background" and (prep := re.search(r"\b(in front of|inside) $", text[: at["T"][0]])):
        target = f"the {'area' if prep[1] == 'in front of' else 'view from'} {prep[1]} {target}"
    if task == "material" and verb.lower() == "give":
        target = re.sub(r"^an? |(?: (?:texture|finish|look|surface|pattern|material))+$", "", target)
    if task == "portrait" and re.fullmatch(r"(?:the )?(?:eye|lip)", source):
        source += "s"
    if not target and task in ("tone", "portrait", "text") and content(text[max(end for _, end in at.values()) :]):
        return None  # "adjust the light to make it look like dawn"
    match task:
        case "text":
            return Slots(source, target, place, "become" if target else verb)
        case "motion" if not (target or does) and verb.lower() in ("make", "have", "let", "get"):
            return None
        case "motion":
            return Slots(source, target, place, does or ("" if target else verb))
        case "tone" | "portrait":
            return Slots(source, target, place, "" if target else verb)
    return Slots(source, target, place)


_HOLDER = re.compile(
    r"\b(?:(?!(?:the|a|an|on|of|to|for|make|let|have|text|say|words?|change|write|put|give|my|his|her|its|in|at)\b)"
    r"[a-z]+ ){0,2}(?:sign|poster|banner|label|board|billboard|shirt|t-shirt|jersey|mug|cup|logo|book|cover|screen|"
    r"plate|card|wall|hat|bottle|bus|truck|door|window|storefront|shop|store|building|paper|page|newspaper|flag|box|"
    r"cake|headline|title|slogan|name|caption|bubble|tag|ticket|menu|bag|road sign)\b",
    re.I,
)
_SHOWN = r"(?:that|which)? ?(?:reads?|says?|saying|reading|with the (?:words?|text)) "


_SPOKEN = re.compile(
    r"\b(?:say|says|read|reads|spell|spells|to|with) "
    r"(?P<t>(?!(?:the|an?|my|our|his|her|its)\b)[\w!?&-]+(?: [\w!?&-]+){0,3})$"
)


def _text_slots(text: str) -> Slots | None:
    texts = verbatim(text)
    spoken = _SPOKEN.search(text)
    if re.match(rf"(?:{REMOVE}|translate)\b", text, re.I) or not (texts or spoken):
        return None  # it names no new text
    target = texts[-1] if texts else spoken["t"] if spoken else ""
    quoted = next((m.group() for m in QUOTED.finditer(text) if m.group()[1:-1] == target), f'"{target}"')
    rest = text
    for quote in texts or [target]:
        rest = rest.replace(quote, " ")
    if new := re.fullmatch(
        rf"(?:{ADD}) (?P<new>(?:an?|the) .+?) (?:{_SHOWN})?{re.escape(quoted)}(?: (?P<place>.+))?",
        text,
        re.I,
    ):
        return Slots(source=f"{new['new']} {quoted}", verb="appear", place=new["place"] or "")
    holder = _HOLDER.search(rest)
    lost = content(rest) - content(holder.group() if holder else "")
    whole = re.fullmatch(
        rf"(?:make|have|let|change|turn|set|update|alter|edit) (?P<source>.+?)(?: (?:to|into|(?:to )?(?:say|read|"
        rf"show)s?))? {re.escape(quoted if texts else target)}",
        text,
        re.I,
    )
    if lost and whole:
        return Slots(source=whole["source"], target=quoted, place="itself")
    before = f"\u201c{texts[0]}\u201d" if len(texts) > 1 else ""
    source = f"the {holder.group().lower()}" if holder else f"the text {before}" if before else "the sign"
    return Slots(source=source, target=quoted, place=f"from {before}" if before and holder else "")
