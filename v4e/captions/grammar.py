"""Faults of grammar that templates and small models make in a caption."""

import re

from v4e.language.clauses import VERBS
from v4e.language.inflection import plural, third_person
from v4e.language.words import NAMED, QUOTED, words_of

_TAKES_NO_VERB = r"(?:becomes?|into|takes? on|adopts?|shifts? to|changes? to|turns?)(?: an?)? "
_VERB_FORM = r"(?:be|look|appear|resemble|mimic|of|from|him|them|under|behind|around)\b"
_NO_NOUN = r"|^the (?:at|to|in|on|of|down|up|out|into|me|them|him|it)\b|\bfrom an? to\b|\badopts .* into "
_ODD = re.compile(
    r"\b(?:perched|seated|standing|sitting|lying|wearing|holding),? (?:gradually|slowly|gently)\b|[^s]s's\b|"
    r"\b(?:becomes?|adopts?) .* to the (?:entire|whole|image|picture|photo)\b|\bbegins? to \w+[^\Ws]s\b|\bso that\b|"
    r"\b(?:an?|the) (?:him|them|me|it|her \w+ing)\b|^[^(]*\)|\([^)]*$|"
    r"\b(?:into|onto|from|of|with|the|an?|and|becomes?|adopts?)$",
    re.I,
)
_SUBJECT = re.compile(r"(?P<who>.+?) (?P<is>is |are )?(?:gradually|slowly|gently) (?P<verb>[a-z]+)\b", re.I)
_PRESENT = {
    third_person(verb): verb
    for verb in words_of(
        "adopt appear become begin bend brighten change close come cool darken disappear dissolve drift drop emerge "
        "extend fade fall form glide go grow lift lighten lower melt morph move open raise rise shift slide smile "
        "stretch take tilt transform travel turn vanish warm wave"
    )
}


def odd(core: str) -> bool:
    """True if a caption has a fault of grammar that templates and small models make."""
    bare = QUOTED.sub(" ", core)
    if _ODD.search(bare):
        return True
    if not (found := _SUBJECT.match(bare)) or re.search(r"\b(?:sheep|fish|deer|people|everyone)\b", found["who"]):
        return False
    one = found["is"] == "is " if found["is"] else found["verb"] in _PRESENT
    many = found["is"] == "are " if found["is"] else found["verb"] in _PRESENT.values()
    return (many and not plural(found["who"])) or (one and plural(found["who"]))


def pasted(caption: str, instruction: str) -> bool:
    """True if a caption has the instruction's imperative in it, or a verb's bare form where a noun belongs."""
    bare, words = QUOTED.sub(" ", caption), instruction.split()
    if not words:
        return False
    first = words[0].strip(",.:;")
    noun = first.lower() in ("color", "colour", "text")  # "the color of the door": no order
    again = bool(first) and not noun and re.search(rf"(?<=\S ){re.escape(first)}\b", bare, re.I)
    verb = first.lower() in VERBS or (first.istitle() and first.lower() not in {"the", "a", "an"} | NAMED)
    if again and verb and not any(word.lower() == first.lower() for word in words[1:]):
        return True
    return bool(re.search(_TAKES_NO_VERB + _VERB_FORM + _NO_NOUN, bare, re.I))
