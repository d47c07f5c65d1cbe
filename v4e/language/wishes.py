"""Turns wishes, questions, statements and arrows into imperatives: "make ...", "add ...", "remove ..."."""

import re
from functools import lru_cache

from v4e.language.clauses import VERBS, stripped
from v4e.language.inflection import participle
from v4e.language.lexicon import MOVE, any_of
from v4e.language.words import COLORS, MATERIALS, spelled

_TAIL = re.compile(
    r"[ ,]+(?:would be (?:nice|great|good|lovely)|and "
    r"nothing else|instead|in (?:this|the) (?:image|picture|photo|shot)|so that it's not in the (?:image|picture|"
    r"photo) anymore|so (?:that )?(?:i|we|it|he|she|they|the|you|there|this)\b.+|"
    r"(?:giving|to give) (?:it|them|the (?:image|photo|picture|scene))\b.+)$",
    re.I,
)
# put in lower case, as it may end up inside the text
_DETERMINER = re.compile(r"^(?:The|An?|My|His|Her|Their|Its|Our|This|That|These|Those|Another|Some)\b")
_X = r"(?P<x>(?:(?!\b(?:that|which|who|so)\b).)+?)"  # a subject, up to its verb
_DEF = r"(?:the|this|that|these|those|my|his|her|their|its|our|both|all|everything)\b"
_PRONOUN = r"(?:it|they|he|she|them|him|her|me|i)\b"
_NEW = r"(?:an?|another|some|more|one|two|three|four|several|many|a few|a couple of|additional|extra)\b"
_MODAL = r"(?:should|ought to|must|needs? to|has to|have to|could|shall|might|can|would)"
_WANT = (
    r"(?:(?:i(?:'d| would)?|would) (?:really |rather )?(?:want|like|love|prefer|need|wish(?: for)?)"
    r"(?: to (?:see|have|get))?|i would rather (?:see|have)|(?:can|could|may) (?:we|i) (?:have|get|see)|"
    r"let(?:'s| us) (?:see|have)|let me see|how about|it (?:would|might) be (?:nice|great|good|cool) (?:to have|to see|"
    r"with|if there (?:was|were)|if we had)|imagine|what about|we need|give me)"
)
_GONE = r"(?:gone|removed|deleted|erased|taken away|taken out|invisible|absent|edited out|cut out|away)"
_BE = r"(?:be|become|look like|look|appear|turn into|get|turn)"
_DEMAND = (
    r"(?:put|make|place|use|have|let there be|i want|i'd like|add|draw|give me|show|insert|there should be|there (?"
    r":is|are)|let it be|turn it into)"
)

# (pattern of the whole text, its replacement), applied in order, each to the result of the one before
_REWRITES: tuple[tuple[str, str], ...] = (
    # a remark, then the request itself
    (
        r"[^,.\"']*\b(?:is|are|looks?|seems?|feels?) (?:a bit |a little |way |really |so )?(?:too |lonely|empty|"
        r"boring|dull|tired|bland)[^,.\"']*[,.] (?!but )(?P<r>.+)",
        r"\g<r>",
    ),
    (
        r"(?P<x>(?:the|his|her|my|this) [^,:]+)(?:: | - )(?P<v>make|turn|paint|color|get rid of|remove|replace|swap) "
        r"(?:it|them|this)(?P<r>\b.*)",
        r"\g<v> \g<x>\g<r>",
    ),
    (r"(?P<r>.+?), (?:it's|it is|they're|they are|he's|she's) .+", r"\g<r>"),
    (r"(?:let|have) (?P<x>.+?) have (?P<y>.+)", r"give \g<x> \g<y>"),
    # one thing for another
    (
        r"where (?P<x>.+?) (?:is|are|stands?|sits?|was|were)(?: now)?,? (?:there (?:should|must|could) be|put|place|"
        r"draw|i want|have|i'd like) (?P<y>.+?)(?: instead)?",
        r"replace \g<x> with \g<y>",
    ),
    (
        r"(?:instead of|in place of|rather than|in lieu of) (?P<x>[^,]+?)(?:, ?(?:please )?|(?= (?:have|put|add|"
        r"place|"
        r"use|show|draw|i want|i'd like)\b))(?: ?(?:" + _DEMAND + r"))? ?(?P<y>.+?)(?: there| instead)?",
        r"replace \g<x> with \g<y>",
    ),
    (
        r"(?:put|place|draw|use|get|have|show|add) (?P<y>.+?)(?: in there| there)? (?:where (?P<x>.+?) (?:is|are|was|"
        r"were|stands)|(?:instead of|rather than|in place of|in the place of|in lieu of) (?P<z>.+))",
        r"replace \g<x>\g<z> with \g<y>",
    ),
    (
        r"(?:i think |i believe )?(?P<y>an? .+?) would (?:look|be|fit|suit|work) (?:better|nicer|best) (?:than|"
        r"instead of|in place of) (?P<x>.+)",
        r"replace \g<x> with \g<y>",
    ),
    (r"(?P<x>[^\"']+?) ?(?:->|=>|→|-->) ?(?P<y>.+)", r"turn \g<x> into \g<y>"),
    (r"(?:trade|exchange|switch|swap)(?: out)? (?P<x>.+?) (?:for|with) (?P<y>.+)", r"replace \g<x> with \g<y>"),
    # away with it
    (r"(?:i )?(?:don't|do not|didn't) (?:want|need|like)(?: to see| to have)? (?P<x>.+)", r"remove \g<x>"),
    (_X + " " + _MODAL + r" (?:be )?(?:completely |totally |all )?" + _GONE + r"\b.*", r"remove \g<x>"),
    (
        _X + " " + _MODAL + r" be \w+(?:ed|n) (?:from|out of) (?:the|this|my) (?:image|picture|photo|scene|shot)",
        r"remove \g<x>",
    ),
    (
        _X + r" (?:has to|have to|must|should|needs? to|can|could|ought to) (?:go|disappear|vanish|leave|go away|fade "
        r"away)",
        r"remove \g<x>",
    ),
    (r"(?:make|let|have) (?P<x>.+?) (?:be )?(?:disappear|vanish|go away|gone|invisible|fade away)", r"remove \g<x>"),
    (r"(?:no|without)(?: more| any)? (?P<x>.+)", r"remove \g<x>"),
    (
        rf"(?:{_WANT}|make|show|have|leave|keep) (?:(?:the|this|my) .+?|it) (?:without(?: any)?|with no|free of|minus) "
        r"(?P<x>.+)",
        r"remove \g<x>",
    ),
    (
        r"(?:take|cut|extract|isolate)(?: out)? (?P<x>.+?)(?: out| out of (?P<w>.+?))? and (?:put|place|paste|bring|"
        r"move|drop) (?:it|him|her|them) (?P<p>(?:in|on|at|into|onto|to)\b.+)",
        r"put \g<x> \g<p>",
    ),
    # a question
    (r"what if there (?:was|were|is|are) (?P<x>.+)", r"add \g<x>"),
    (r"what if (?P<x>.+?) (?:was|were|is|are|became|looked like) (?P<y>.+)", r"make \g<x> \g<y>"),
    (
        r"what (?:would|will|might) (?P<x>.+?) look like (?:if (?:it|he|she|they|this|that|(?:the|my) \w+) (?:was|"
        r"were)|in|as|with|made of) (?P<y>.+)",
        r"make \g<x> \g<y>",
    ),
    (
        r"(?:can|could|may|would|should|might) (?P<x>(?:" + _DEF + "|it|they|he|she|this).*?) (?:please )?be(?:come)? "
        "(?P<y>.+)",
        r"make \g<x> \g<y>",
    ),
    # there is to be something
    (
        r"(?P<p>(?:in|on|at|above|below|under|behind|near|next to|beside|over) [^,]+?),? there (?:"
        + _MODAL
        + r") be (?P<x>.+)",
        r"add \g<x> \g<p>",
    ),
    (r"(?:let )?there (?:" + _MODAL + r" )?(?:be|is|are) (?:no|not any)(?: more)? (?P<x>.+)", r"remove \g<x>"),
    (r"(?:let )?there (?:" + _MODAL + r" )?be (?P<x>.+)", r"add \g<x>"),
    (
        r"make (?P<x>an? (?:[\w-]+ )?(?:sign with (?:the|his|her|both)\b|(?:gesture|fist)\b"
        r"(?!-|\u2011| (?:sized?|shaped|like)\b)).*)",
        r"have the person make \g<x>",
    ),
    (r"(?P<w>.+?) (?:is|are) missing (?P<x>.+)", r"add \g<x> to \g<w>"),
    (r"(?P<w>[^,]+?) needs? (?P<x>an? [^,]+|some [^,]+)(?:, .+)?", r"give \g<w> \g<x>"),
    (
        r"(?P<x>" + _NEW + r" .+?) (?:would|might|could) (?:look|be|fit|work|go) (?:nice|great|good|well|better|cool|"
        r"perfect|lovely|nicely)(?P<p>\b.*)",
        r"add \g<x>\g<p>",
    ),
    # a state that is wished for
    (_WANT + r" (?P<x>.+?) to (?:be|become|look) (?P<y>.+)", r"make \g<x> \g<y>"),
    (_WANT + r" (?P<x>.+?) to (?P<y>.+)", r"make \g<x> \g<y>"),
    (
        _WANT
        + r" (?P<x>(?:"
        + _DEF
        + r").+?) (?:in|as|made of|made from) (?P<y>(?:an? )?(?:"
        + rf"(?:(?:very )?(?:light|dark|bright|deep|pale|sky|navy)[ -])?{any_of(*COLORS, *MATERIALS)}"
        + r")(?: [a-z]+)?(?: (?:rather than|instead of) .+)?)",
        r"make \g<x> \g<y>",
    ),
    (
        _WANT + r" (?P<x>(?:" + _DEF + "|" + _PRONOUN + r").*?) (?P<p>(?:in front of|in|on|at|inside|standing|next to|"
        r"walking|sitting) .+)",
        r"put \g<x> \g<p>",
    ),
    (rf"(?:see|have(?!.* {MOVE}\b)) (?P<x>{_NEW} .+)", r"add \g<x>"),
    (
        rf"(?:{_WANT}|make|create|draw) (?P<y>an? .+?)(?: version)? (?:of|from|out of) "
        r"(?P<x>this|it|(?:this|the|my) (?:image|photo|picture|scene))",
        r"turn \g<x> into \g<y>",
    ),
    (_WANT + r" (?P<x>(?:" + _DEF + "|" + _PRONOUN + r").*)", r"\g<x>"),
    (_WANT + r" (?P<x>.+)", r"add \g<x>"),
    (
        r"(?P<x>.+?) would (?:look|be) (?:better|nicer|best|great|good|nice|cool) (?:in|as|with|if it (?:was|were)|"
        r"made of|being) (?P<y>.+)",
        r"make \g<x> \g<y>",
    ),
    (_X + " " + _MODAL + r" (?:adopt|assume|take on|display|feature|wear|get) (?P<y>an? .+)", r"give \g<x> \g<y>"),
    (_X + " " + _MODAL + r" (?P<v>" + _BE + r") (?P<y>.+)", r"make \g<x> \g<v> \g<y>"),
    (r"(?P<x>(?:" + _DEF + "|" + _PRONOUN + r").*?) " + _MODAL + r" (?P<y>[a-z]+\b.*)", r"make \g<x> \g<y>"),
    (r"(?:let|have|make|get) (?P<x>.+?) (?:be|become|appear)(?P<l> like)? (?P<y>.+)", r"make \g<x>\g<l> \g<y>"),
)
# "the leaves should be dyed yellow"
_DONE = re.compile(
    _X + " (?:" + _MODAL + r" be|ha(?:s|ve) been) (?P<v>\w+)(?P<p> up| down| out| off)?(?P<r> .+)?", re.I
)
_GOT = re.compile(rf"(?:get|have) (?P<x>{_DEF} .+?) (?P<v>\w+ed)(?P<p> up| down| out| off)?(?P<r> .+)?", re.I)
_VERB_OF = {participle(verb): verb for verb in VERBS}
_COMPILED = tuple((re.compile(pattern, re.I), replacement) for pattern, replacement in _REWRITES)


@lru_cache(maxsize=4096)
def imperative(text: str) -> str:
    """Returns a one-line request as an imperative; an imperative stays."""
    text = _bare(text)
    if (done := _DONE.fullmatch(text) or _GOT.fullmatch(text)) and done["v"].lower() in _VERB_OF:
        text = f"{_VERB_OF[done['v'].lower()]}{done['p'] or ''} {done['x']}{done['r'] or ''}"
    for pattern, replacement in _COMPILED:
        if match := pattern.fullmatch(text):
            text = _bare(match.expand(replacement))
    return text


def _bare(text: str) -> str:
    """Strips politeness and final stops, and corrects misspelt verbs."""
    before, text = "", _DETERMINER.sub(lambda first: first.group().lower(), text.strip())
    while before != text:
        before = text
        text = _TAIL.sub("", stripped(text))
    return re.sub(r"[A-Za-z]{3,}", lambda word: spelled(word.group()), text, count=3) if text else before
