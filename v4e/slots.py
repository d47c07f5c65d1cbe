"""The slots of an atomic edit instruction (what, into what, where), by patterns for each task."""

import re
from dataclasses import dataclass

from v4e.tasks import normalize
from v4e.words import COLORS, MATERIALS, QUOTED, definite, verbatim, with_article

_WHOLE = r"(?:it|this|that|(?:the |this )?(?:whole |entire )?(?:image|picture|photo|photograph|scene|shot|view))"
_PLACE = (
    r"(?:(?:in|on|at|onto|into|above|below|under|underneath|beneath|behind|beside|near|over|between|"
    r"around|inside|next to|in front of|to the (?:left|right|top|bottom)|to|by|against|within|along|"
    r"across)\s.+|(?:top|bottom|upper|lower)[ -](?:left|right|center|middle)(?: corner)?)"
)
_COLOR = rf"(?:(?:light|dark|bright|deep|pale|hot|sky|navy|pastel|neon)[ -])*(?:{'|'.join(sorted(COLORS))})"
_MATERIAL = rf"(?:(?:brushed|polished|solid|rough|dark|white|black) )?(?:{'|'.join(sorted(MATERIALS))})"
_MAKE = r"(?:make|turn|change|convert|transform|switch|set)"
_ADD = (
    r"(?:add|put|place|insert|draw|include|introduce|create|paint|show|there (?:should|must) be|let there "
    r"be|i want)"
)
_REMOVE = (
    r"(?:remove|delete|erase|get rid of|take (?:away|out|off)|eliminate|clear away|clear|wipe out|wipe "
    r"away|wipe|hide)"
)


@dataclass(frozen=True)
class Slots:
    """The parts of one atomic edit; "" where the instruction does not name them."""

    source: str = ""  # what is there before
    target: str = ""  # what is there after
    place: str = ""  # where, with its preposition; of a color, what it changes from
    verb: str = ""  # of a motion or a retouch, bare form


# patterns of each task, tried in order; group names are fields of Slots
_PATTERNS: dict[str, tuple[str, ...]] = {
    "addition": (
        rf"(?P<place>(?:in|on|at|above|below|under|behind|near|next to|beside) .+?),? {_ADD} (?P<target>.+)",
        rf"{_ADD} (?P<target>.+?) (?P<place>{_PLACE})",
        rf"{_ADD} (?P<target>.+)",
        r"give (?P<on>(?:the |a |an |his |her )?\w+(?: \w+)??) (?P<target>(?:an? |some ).+)",
        r"(?P<target>(?:an? |some |one |two |three ).+?) (?:should|must) (?:be|appear) (?P<place>.+)",
    ),
    "removal": (
        rf"{_REMOVE} (?P<source>.+?)(?: from {_WHOLE})?",
        rf"take (?P<source>.+?) (?:away|out)(?: (?:of|from) {_WHOLE})?",
        r"(?:make|let) (?P<source>.+) (?:disappear|vanish|go away)",
    ),
    "replacement": (
        r"(?:put|use|draw|add|place) (?P<target>.+?) (?:instead of|in place of|in the place of) "
        r"(?P<source>.+)",
        r"substitute (?P<target>.+?) for (?P<source>.+)",
        r"(?:replace|swap|exchange|substitute|switch)(?: out)? (?P<source>.+?) (?:with|by|for|to) "
        r"(?P<target>.+)",
        rf"(?:{_MAKE}|morph) (?P<source>.+?) (?:into|to|be|become) (?P<target>.+)",
        rf"{_MAKE} (?P<source>.+?) (?P<target>an? .+)",
    ),
    "background": (
        r"(?:\w+) (?:the |its )?(?:background|backdrop|scenery|setting)(?: scene| setting)? (?:in|into|to|"
        r"with|by|for|be|become|as|to be) (?P<target>.+)",
        r"(?:\w+) (?:the |its )?(?:background|backdrop) (?P<target>.+)",
        r"(?:use|add|give (?:it|the \w+)|set) (?P<target>.+?) (?:as |for )?(?:the |its )?(?:background|"
        r"backdrop)",
        rf"(?:put|place|move|set|take|bring|transport) (?:{_WHOLE}|them|everything|the \w+) (?:in|on|at|"
        r"into|onto|to) (?P<target>.+)",
        r"(?:change|replace|swap|set|switch) the (?:sky|location|surroundings) (?:to|with|for|into) "
        r"(?P<target>.+)",
        rf"{_MAKE} (?:the )?(?:background|backdrop) (?P<target>.+)",
    ),
    "color": (
        rf"(?:change|turn|make|set|switch) the colou?r of (?P<source>.+?) (?P<place>from {_COLOR} "
        rf")?(?:(?:into|to|be) )?(?P<target>{_COLOR})",
        r"(?:change|turn|make|set|switch) (?P<source>.+?)(?:['\u2019]s?)? colou?r (?P<place>from "
        rf"{_COLOR} )?(?:(?:into|to|be) )?(?P<target>{_COLOR})",
        rf"give (?P<source>.+?) an? (?P<target>{_COLOR}) (?:colou?r|shade|tint|hue)",
        rf"\w+ (?P<source>.+?) (?P<place>from {_COLOR} )?(?:(?:in|into|to|as|with|be|become) "
        rf")?(?P<target>{_COLOR})(?: colou?r| instead)?",
        r"(?:make|turn) (?P<source>.+) (?P<target>\w+er)",
    ),
    "material": (
        r"(?:change|turn|make|set|switch) the (?:material|texture|surface|pattern) of (?P<source>.+?) "
        r"(?:into|to|be) (?P<target>.+)",
        r"(?:change|turn|make|set|switch) (?P<source>.+?)['\u2019]s? (?:material|texture|surface|pattern) "
        r"(?:into|to|be) (?P<target>.+)",
        r"give (?P<source>.+?) an? (?P<target>[\w -]+?) (?:texture|finish|look|surface|pattern|material)",
        r"(?:cover|coat|wrap) (?P<source>.+?) (?:in|with) (?P<target>.+)",
        r"(?:make|build|render) (?P<source>.+?) (?:(?:look )?(?:out )?of|from|in) (?P<target>.+)",
        rf"{_MAKE} (?P<source>.+?) (?:into|to|be|look|look like) (?P<target>.+)",
        rf"{_MAKE} (?P<source>.+?) (?P<target>{_MATERIAL})",
    ),
    "style": (
        rf"(?:\w+) {_WHOLE} (?:(?:into|in|to|as|look like|like|using|with|look) )?(?:the style of "
        r")?(?P<target>.+?)(?: (?:style|look|effect))?",
        r"(?:make|have) it look like (?P<target>.+?)(?: style)?",
        r"(?:convert|change|transform|turn|switch|render|redraw|apply|use|give|add|paint|draw)(?: (?:in|"
        r"into|to|as))? (?P<target>.+?)(?: (?:style|look|effect))?(?: (?:to|on) .+)?",
        r"(?P<target>.+?) style",
    ),
    "tone": (
        rf"(?:give|lend) {_WHOLE} (?P<target>.+)",
        rf"(?:make|turn|change|convert|shift|set|switch) {_WHOLE} (?:(?:into|in|to|look like|look|feel|"
        r"be) )?(?P<target>.+)",
        rf"(?:apply|use|add) (?P<target>.+?)(?: (?:to|on|over) {_WHOLE})?",
        r"(?:change|set|switch|turn) the (?:weather|season|time of day|lighting|light|tone|mood|grade|"
        r"atmosphere) (?:in|into|to) (?P<target>.+)",
        rf"(?P<verb>\w+) {_WHOLE}",
    ),
    "portrait": (
        r"(?P<verb>smooth|brighten|whiten|soften|lighten|darken|enhance|reduce|slim|thin|clear|retouch|"
        r"sharpen|plump|shorten|lengthen|straighten|curl|trim|tan|define)(?: (?:out|up))? (?P<source>.+)",
        rf"{_REMOVE} (?P<gone>.+)",
        r"(?:change|turn|make|set|switch) (?:the |his |her )?(?P<part>eye|hair|lip|skin|beard|eyes|lips|"
        r"hair)(?:['\u2019]s?)? colou?r (?:(?:into|to|be) )?(?P<target>.+)",
        rf"(?:change|turn|make|set) the colou?r of (?P<source>.+?) (?:(?:into|to|be) )?(?P<target>{_COLOR})",
        rf"(?:{_MAKE}|paint|dye|colou?r|tint|give) (?P<source>.+?) (?:(?:in|into|to|with|look|be|a) "
        rf")?(?P<target>{_COLOR}|younger|older|bald|slimmer|smoother|\w+er)",
        rf"(?:{_ADD}|give (?:him|her|the \w+)|apply|put on) (?P<new>.+?)(?: (?P<place>{_PLACE}))?",
    ),
    "motion": (
        r"(?:make|have|let|get) (?P<source>(?:the |his |her |a |an )?\w+(?: \w+)??) (?:to "
        r")?(?P<verb>\w+)(?: (?P<place>.+))?",
        rf"(?P<verb>\w+) (?P<source>.+?)(?: (?P<place>{_PLACE}|up|down|left|right|back|forward|upward|"
        r"downward|around|apart|slightly))?",
    ),
}
_MAKES_MOVE = re.compile(r"(?:make|have|let|get) ", re.I)


def slots(instruction: str, task: str) -> Slots | None:
    """The slots of one atomic edit of ``task``; None where no pattern of the task fits."""
    text = normalize(instruction)
    if task == "text":
        return _text_slots(text)
    for pattern in _PATTERNS[task]:
        if task == "motion" and pattern.startswith("(?:make") != bool(_MAKES_MOVE.match(text)):
            continue
        if match := re.fullmatch(pattern, text, re.I):
            found = {name: value.strip() for name, value in match.groupdict().items() if value}
            if "on" in found:
                found["place"] = f"on {definite(found.pop('on'))}"
            if "gone" in found:
                found.update(source=found.pop("gone"), verb="fade away")
            if "new" in found:
                found.update(source=with_article(found.pop("new")), verb="appear")
            if "part" in found:
                part = found.pop("part").lower()
                found["source"] = "the " + {"eye": "eyes", "lip": "lips"}.get(part, part)
            return Slots(**found)
    return None


def _text_slots(text: str) -> Slots | None:
    texts = verbatim(text)
    spoken = re.search(r"\b(?:say|says|read|reads|spell|spells|to|with) (?P<t>[\w!?&-]+(?: [\w!?&-]+){0,3})$", text)
    if not texts and not spoken:
        return None
    target = texts[-1] if texts else spoken["t"] if spoken else ""
    quoted = next((m.group() for m in QUOTED.finditer(text) if m.group()[1:-1] == target), f'"{target}"')
    rest = text
    for said in texts or [target]:
        rest = rest.replace(said, " ")
    holder = re.search(
        r"\b(sign|poster|banner|label|board|billboard|shirt|t-shirt|mug|cup|logo|book|cover|screen|plate|"
        r"card|wall|hat|bottle|bus|truck|door|window|storefront|shop|building|paper|page|newspaper|flag|"
        r"box|cake)\b",
        rest,
        re.I,
    )
    before = f"\u201c{texts[0]}\u201d" if len(texts) > 1 else ""
    source = f"the {holder.group().lower()}" if holder else f"the {before}" if before else "the sign"
    return Slots(source=source, target=quoted, place=f"from {before}" if before and holder else "")
