"""The slots of an atomic edit instruction (source, target, place, verb), by patterns for each task."""

import re
from dataclasses import dataclass

from v4e.language.inflection import definite, possessive, with_article
from v4e.language.lexicon import ADD, REMOVE
from v4e.language.patterns import PATTERNS, PLACE
from v4e.language.tasks import normalize
from v4e.language.words import QUOTED, content, verbatim


@dataclass(frozen=True)
class Slots:
    """The parts of one atomic edit; "" if the instruction does not name one."""

    source: str = ""  # the state before
    target: str = ""  # the state after
    place: str = ""  # with its preposition; for a color, the one before
    verb: str = ""  # of a motion or retouch, bare form


_MAKES_MOVE = re.compile(r"(?:make|have|let|get) ", re.I)


def slots(instruction: str, task: str) -> Slots | None:
    """Returns the slots of one atomic edit of `task`; None if no pattern of the task fits."""
    text = normalize(instruction)
    if task == "text" and (found := _text_slots(text)):
        return found
    for pattern in PATTERNS[task]:
        if task == "motion" and pattern.startswith("(?P<verb>") and _MAKES_MOVE.match(text):
            continue
        if match := re.fullmatch(pattern, text, re.I):
            found = {name: value.strip() for name, value in match.groupdict().items() if value}
            if re.search(r"\bby \w+ing\b|^and\b", found.get("source", "")):
                continue
            if "on" in found:
                found["place"] = f"on {definite(found.pop('on'))}"
            if "holder" in found:
                found["source"] += f" on {definite(found.pop('holder'))}"
            if (prep := found.pop("prep", "")) in ("in front of", "inside"):
                found["target"] = f"the {'area' if prep == 'in front of' else 'view from'} {prep} {found['target']}"
            if "owner" in found:
                owner = re.sub("^them$", "the people", found.pop("owner"))
                found["source"] = f"{possessive(definite(owner))} {found.pop('part', 'clothes')}"
            if "before" in found:
                found["place"] = f"from {found.pop('before')}"
            if "gone" in found:
                found.update(source=found.pop("gone"), verb="fade away")
            if "new" in found:
                found.update(source=with_article(found.pop("new")), verb="appear")
            if "state" in found:
                found.update(target=found.pop("state"), verb="become")
            if "part" in found:
                part = found.pop("part").lower()
                found["source"] = "the " + {"eye": "eyes", "lip": "lips"}.get(part, part)
            if "doing" in found:
                found.update(verb=found.pop("doing"))
            return Slots(**found)
    return None


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
        rf"(?:{ADD}) (?P<new>(?:an?|the) .+?) (?:{_SHOWN})?{re.escape(quoted)}(?: (?P<place>{PLACE}))?",
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
