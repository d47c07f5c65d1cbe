"""The slots of an atomic edit instruction (what, into what, where), by patterns for each task."""

import re
from dataclasses import dataclass

from v4e.lexicon import COLOR, MATERIAL, MOVE
from v4e.rules import ADD, REMOVE, WHOLE
from v4e.tasks import normalize
from v4e.words import QUOTED, content, definite, verbatim, with_article

_PLACE = (
    r"(?:(?:in|on|at|onto|into|above|below|under|underneath|beneath|behind|beside|near|over|between|"
    r"around|inside|next to|in front of|to the (?:left|right|top|bottom)|to|by|against|within|along|"
    r"across|leaning on|leaning against|hanging from|floating over|floating above|standing on|sitting on)\s.+|"
    r"(?:top|bottom|upper|lower)[ -](?:left|right|center|middle)(?: corner)?)"
)
_COLOR = rf"(?:#[0-9a-f]{{6}}|(?:an? )?(?:\w+ )?shade of {COLOR}|(?:{COLOR} )?{COLOR})"
_MATERIAL = rf"(?:(?:brushed|polished|solid|rough|rusty|shiny|dark|white|black|carved) )?(?:{MATERIAL} )?{MATERIAL}"
_MAKE = r"(?:make|turn|change|convert|transform|switch|set)"
_DEF = r"(?:(?:the|this|that|these|those|my|his|her|their|its|our|both|all) )"
_THING = rf"(?P<source>(?:{_DEF}\S.*?|(?!{_DEF})\S.*?))"  # "the sky", never "the" alone before "sky pink"
_NEW = r"(?:an?|another|some|more|one|two|three|four|five|several|many)"
_VERB = rf"(?P<verb>(?:{MOVE}))"


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
        rf"(?P<place>(?:in|on|at|above|below|under|behind|near|next to|beside) .+?),? {ADD} (?P<target>.+)",
        r"(?:decorate|equip|fill|adorn|furnish) (?P<on>.+?) with (?P<target>.+)",
        rf"(?:make|have|let|get) (?P<target>{_NEW} .+?) (?P<place>{MOVE}\b.*)",
        rf"(?:{ADD}|show) (?P<target>.+?) (?P<place>{_PLACE})",
        rf"(?:{ADD}|show) (?P<target>.+)",
        r"give (?P<on>(?:the |a |an |his |her )?\w+(?: \w+)??) (?P<target>(?:an? |some ).+)",
        r"(?P<target>(?:an? |some |one |two |three ).+?) (?:should|must) (?:be|appear) (?P<place>.+)",
    ),
    "removal": (
        rf"(?:strip|peel|pluck) (?P<source>.+?) (?:off|from) (?P<holder>(?!{WHOLE}$).+)",
        rf"{REMOVE} (?P<source>.+?)(?: (?:from|in) {WHOLE})?",
        rf"take (?P<source>.+?) (?:away|out)(?: (?:of|from) {WHOLE})?",
        rf"(?:cut|edit|crop|photoshop|wipe|clip) (?P<source>.+?) (?:away|out|off)(?: (?:of|from) {WHOLE})?",
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
        rf"(?:put|place|move|set|take|bring|transport) (?:{WHOLE}|them|everything) (?:in|on|at|"
        r"into|onto|to) (?P<target>.+)",
        r"(?:change|replace|swap|set|switch) the (?:sky|location|surroundings) (?:to|with|for|into) "
        r"(?P<target>.+)",
        rf"{_MAKE} (?:the )?(?:background|backdrop) (?P<target>.+)",
        r"(?:\w+)(?: out)? (?P<source>(?:what's|what is|everything|the \w+) behind .+?) (?:in|into|to|with|by|for) "
        r"(?P<target>.+)",
        r"(?:\w+)(?: out)? (?P<source>the (?:surroundings?|environment|landscape|view|setting|scenery|location)) (?"
        r":(?:in|into|to|with|by|"
        r"for|be) )?"
        r"(?P<target>.+)",
        rf"(?:\w+) {WHOLE} (?P<prep>in front of|in|on|at|into|onto|to|inside|look like (?:\w+ ){{1,3}}in) (?"
        rf"P<target>.+)",
        r"(?:\w+) (?P<source>him|her|me|us|(?:the|this|that|my|his|her|our) .+?) (?:be |sit |stand |standing |"
        r"sitting )?"
        r"(?P<prep>in front of|in|on|at|into|onto|to|inside|through) (?P<target>.+)",
        r"(?:blur|remove|erase|delete) (?P<gone>the background)",
    ),
    "color": (
        rf"(?:change|turn|make|set|switch|adjust|alter|shift) the (?:colou?r|hue|shade) of (?P<source>.+?) (?"
        rf"P<place>from {_COLOR} "
        rf")?(?:(?:into|to|be) )?(?P<target>{_COLOR})",
        r"(?:change|turn|make|set|switch) (?P<source>.+?)(?:['\u2019]s?)? colou?r (?P<place>from "
        rf"{_COLOR} )?(?:(?:into|to|be) )?(?P<target>{_COLOR})",
        rf"give (?P<source>.+?) an? (?P<target>{_COLOR}) (?:colou?r|shade|tint|hue)",
        rf"give (?P<owner>.+?) (?:an? )?(?P<target>{_COLOR}) (?P<part>\w+(?: \w+)?)",
        rf"\w+ {_THING} (?P<place>from {_COLOR} )?(?:(?:in|into|to|as|with|be|become|a) )?(?P<target>{_COLOR})"
        r"(?: colou?r(?:ed)?| instead)?",
        rf"\w+ {_THING} (?:(?:in|into|to|be|a) )?(?P<target>{_COLOR}) (?:instead of|rather than) (?P<before>{COLOR})",
        r"(?:make|turn) (?P<source>.+) (?P<target>\w+er)",
    ),
    "material": (
        r"(?:change|turn|make|set|switch) the (?:material|texture|surface|pattern) of (?P<source>.+?) "
        r"(?:into|to|be) (?P<target>.+)",
        r"(?:change|turn|make|set|switch) (?P<source>.+?)['\u2019]s? (?:material|texture|surface|pattern) "
        r"(?:into|to|be) (?P<target>.+)",
        r"give (?P<source>.+?) an? (?P<target>[\w -]+?) (?:texture|finish|look|surface|pattern|material)",
        r"(?:cover|coat|wrap) (?P<source>.+?) (?:in|with) (?P<target>.+)",
        r"\w+ (?P<source>.+?) (?:(?:look )?(?:as if |like )?(?:it |they |he |she |it's |they're )?(?:was |were |is |"
        r"are )?"
        r"(?:made|built|carved|knitted|crafted|woven|formed) )(?:out of|of|from|with) (?P<target>.+)",
        r"(?:make|build|render) (?P<source>.+?) (?:(?:look )?(?:out )?of|from|in) (?P<target>.+)",
        rf"{_MAKE} (?P<source>.+?) (?:into|to|be|look|look like) (?P<target>.+)",
        rf"(?:{_MAKE}|have|let) {_THING} (?P<target>{_MATERIAL})",
    ),
    "style": (
        rf"(?:\w+) {WHOLE} (?:(?:into|in|to|as|look like|like|using|with|look) )?(?:the style of "
        r")?(?P<target>.+?)(?: (?:style|look|effect))?",
        rf"(?:change|switch|set) (?:the )?(?:style of {WHOLE}|(?:the )?\w+'s style) to (?P<target>.+?)(?: style)?",
        r"(?P<target>as (?:if|though) .+)",
        r"(?:make|have) it look like (?P<target>.+?)(?: style)?",
        r"(?:convert|change|transform|turn|switch|render|redraw|apply|use|give|add|paint|draw)(?: (?:in|"
        r"into|to|as))? (?P<target>.+?)(?: (?:style|look|effect))?(?: (?:to|on) .+)?",
        r"(?:in )?the (?:style|manner) of (?P<target>.+)",
        rf"(?!(?:{_MAKE}|convert|apply|give|render|redraw)\b)(?P<target>.+?)(?: style)?",
    ),
    "tone": (
        rf"(?:give|lend) {WHOLE} (?P<target>.+)",
        rf"(?:make|turn|change|convert|shift|set|switch) {WHOLE} (?:(?:into|in|to|look like|look|feel|"
        r"be) )?(?P<target>.+)",
        rf"(?:apply|use|add) (?P<target>.+?)(?: (?:to|on|over) {WHOLE})?",
        r"(?:change|set|switch|turn) the (?:weather|season|time of day|lighting|light|tone|mood|grade|"
        r"atmosphere) (?:in|into|to) (?P<target>.+)",
        rf"(?P<verb>relight|colou?ri[sz]e|restore|enhance|grade|brighten|darken|light|tint|retouch) {WHOLE} (?"
        rf"P<place>with .+)",
        rf"(?P<verb>\w+) (?P<source>{WHOLE})(?: a (?:bit|little)| slightly| a lot)?",
        r"(?:make|turn) (?P<source>the (?:mood|atmosphere|lighting|light|sky|weather|colou?rs|contrast|tone|shadows|"
        r"highlights)) "
        r"(?:more )?(?P<target>.+)",
        r"(?P<verb>increase|decrease|boost|reduce|lower|raise|lift|soften|adjust|fix|correct|improve|enhance|"
        r"balance|brighten|darken|remove)"
        r"(?: up)? (?P<source>the .+)",
        r"let it (?P<target>snow|rain)",
        rf"(?!(?:{_MAKE}|{ADD}|{REMOVE}|give|fix|adjust)\b)(?P<target>.+)",
    ),
    "portrait": (
        r"(?P<verb>smooth|brighten|whiten|soften|lighten|darken|enhance|reduce|slim|thin|clear|retouch|"
        r"sharpen|plump|shorten|lengthen|straighten|curl|trim|tan|define)(?: (?:out|up))? (?P<source>.+)",
        rf"{REMOVE} (?P<gone>.+)",
        r"(?:change|turn|make|set|switch) (?:the |his |her )?(?P<part>eye|hair|lip|skin|beard|eyes|lips|"
        r"hair)(?:['\u2019]s?)? colou?r (?:(?:into|to|be) )?(?P<target>.+)",
        rf"(?:change|turn|make|set) the colou?r of (?P<source>.+?) (?:(?:into|to|be) )?(?P<target>{_COLOR})",
        rf"(?:{_MAKE}|paint|dye|colou?r|tint|give) (?P<source>.+?) (?:(?:in|into|to|with|look|be|a) "
        rf")?(?P<target>{_COLOR}|younger|older|bald|slimmer|smoother|\w+er)",
        rf"(?:{_MAKE}|paint|dye|colou?r|tint) {_THING} (?:to |in |into )?(?P<target>{_COLOR})",
        r"(?:make|let|have|get) (?P<source>.+?) (?:look )?(?P<target>(?:more|less|\d+ years) \w+|\w+er)",
        rf"(?:{_MAKE}) (?P<source>.+?) (?:in)?to (?P<target>.+)",
        rf"(?:{ADD}|give (?:him|her|the \w+)|apply|put on) (?P<new>.+?)(?: (?P<place>{_PLACE}))?",
        r"(?P<verb>fix|correct|shave|style|tone|freshen|refresh|beautify|conceal|rejuvenate)(?: out| up| off)? (?"
        r"P<source>.+)",
    ),
    "motion": (
        r"(?:make|change|turn) (?P<source>(?:the |his |her |their )?(?:\w+'s )?(?:expression|pose|posture|gesture|"
        r"action)(?: of .+?)?)"
        r" (?:from (?P<before>.+?) )?(?:(?:in)?to )?(?P<target>.+)",
        rf"(?:make|have|let|get) (?P<source>.+?) (?:to )?{_VERB}(?: (?P<place>(?!to {MOVE}\b).+))?",
        r"(?:make|have|let|get|show) (?P<source>.+?) (?P<doing>\w+ing)(?: (?P<place>.+))?",
        r"(?:make|have|let|get) (?P<source>(?:the |his |her |a |an )?\w+(?: \w+)??) (?:to "
        r")?(?P<verb>\w+)(?: (?P<place>.+))?",
        rf"(?P<source>(?:the|an?|his|her) (?:\w+ )?\w+) {_VERB}(?:e?s) (?P<place>.+)",
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
        if task == "motion" and pattern.startswith("(?P<verb>") and _MAKES_MOVE.match(text):
            continue
        if match := re.fullmatch(pattern, text, re.I):
            found = {name: value.strip() for name, value in match.groupdict().items() if value}
            if "on" in found:
                found["place"] = f"on {definite(found.pop('on'))}"
            if "holder" in found:
                found["source"] += f" on {definite(found.pop('holder'))}"
            if (prep := found.pop("prep", "")) in ("in front of", "inside"):
                found["target"] = f"the {'area' if prep == 'in front of' else 'view from'} {prep} {found['target']}"
            if "owner" in found:
                found["source"] = f"{found.pop('owner')}'s {found.pop('part')}"
            if "before" in found:
                found["place"] = f"from {found.pop('before')}"
            if "gone" in found:
                found.update(source=found.pop("gone"), verb="fade away")
            if "new" in found:
                found.update(source=with_article(found.pop("new")), verb="appear")
            if "part" in found:
                part = found.pop("part").lower()
                found["source"] = "the " + {"eye": "eyes", "lip": "lips"}.get(part, part)
            if "doing" in found:
                found.update(verb=found.pop("doing"))
            return Slots(**found)
    return None


_HOLDER = re.compile(
    r"\b(?:(?!(?:the|a|an|on|of|to|for|make|let|have|text|say|words?|change|write|put|give|my|his|her|its|in|at)\b)"
    r"[a-z]+ ){0,2}"
    r"(?:sign|poster|banner|label|board|billboard|shirt|t-shirt|jersey|mug|cup|logo|book|cover|screen|plate|"
    r"card|wall|hat|bottle|bus|truck|door|window|storefront|shop|store|building|paper|page|newspaper|flag|"
    r"box|cake|headline|title|slogan|name|caption|bubble|tag|ticket|menu|bag|road sign)\b",
    re.I,
)
_SHOWN = r"(?:that|which)? ?(?:reads?|says?|saying|reading|with the (?:words?|text)) "
# edits of a text that name no new one
_TEXT_PATTERNS = (
    rf"{REMOVE} (?P<gone>.+?)(?: from {WHOLE})?",
    rf"{ADD} (?P<new>(?:the|an?|my|his|her) .+?) (?P<place>{_PLACE})",
    r"replace (?P<source>.+?) (?:with|by) (?P<target>.+?)(?: (?P<place>(?:on|in|of) .+))?",
    r"(?P<verb>translate) (?P<source>.+?) (?P<place>(?:in)?to .+)",
    r"(?:make|turn|change) (?P<source>(?:the|all|his|her|my) .+?) (?:in |into |to )?(?P<state>[\w-]+)",
    r"(?P<verb>fix|correct|enlarge|shrink|move|rotate|blur) (?P<source>.+)",
)


def _text_slots(text: str) -> Slots | None:
    texts = verbatim(text)
    spoken = re.search(r"\b(?:say|says|read|reads|spell|spells|to|with) (?P<t>[\w!?&-]+(?: [\w!?&-]+){0,3})$", text)
    if re.match(rf"(?:{REMOVE}|translate)\b", text, re.I) or not (texts or spoken):
        return _textless_slots(text)
    target = texts[-1] if texts else spoken["t"] if spoken else ""
    quoted = next((m.group() for m in QUOTED.finditer(text) if m.group()[1:-1] == target), f'"{target}"')
    rest = text
    for said in texts or [target]:
        rest = rest.replace(said, " ")
    if new := re.fullmatch(
        rf"(?:{ADD}) (?P<new>(?:an?|the) .+?) (?:{_SHOWN})?{re.escape(quoted)}(?: (?"
        rf"P<place>{_PLACE}))?",
        text,
        re.I,
    ):
        return Slots(source=f"{new['new']} {quoted}", verb="appear", place=new["place"] or "")
    holder = _HOLDER.search(rest)
    lost = content(rest) - content(holder.group() if holder else "")
    whole = re.fullmatch(
        rf"(?:make|have|let|change|turn|set|update|alter|edit) (?P<source>.+?)(?: (?:to|into|(?:to )?(?:say|read|"
        rf"show)s?))? "
        rf"{re.escape(quoted if texts else target)}",
        text,
        re.I,
    )
    if lost and whole:
        return Slots(source=whole["source"], target=quoted, place="itself")
    before = f"\u201c{texts[0]}\u201d" if len(texts) > 1 else ""
    source = f"the {holder.group().lower()}" if holder else f"the text {before}" if before else "the sign"
    return Slots(source=source, target=quoted, place=f"from {before}" if before and holder else "")


def _textless_slots(text: str) -> Slots | None:
    for pattern in _TEXT_PATTERNS:
        if match := re.fullmatch(pattern, text, re.I):
            found = {name: value.strip() for name, value in match.groupdict().items() if value}
            if "gone" in found:
                found.update(source=found.pop("gone"), verb="fade away")
            if "new" in found:
                found.update(source=found.pop("new"), verb="appear")
            if "state" in found:
                found.update(target=found.pop("state"), verb="become")
            return Slots(**found)
    return None
