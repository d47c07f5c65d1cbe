"""The outcome of an imperative that fits no template: "adjust the light" becomes "The light is gradually adjusted"."""

import re

from v4e.language.clauses import VERBS
from v4e.language.inflection import definite, participle, plural, sentence, third_person, with_article
from v4e.language.words import FUNCTION, words_of

_IRREGULAR = dict(
    pair.split("/")
    for pair in words_of(
        "make/made put/put give/given take/taken draw/drawn write/written get/brought bring/brought keep/kept set/set "
        "hide/hidden cut/cut show/shown hang/hung bend/bent spread/spread rewrite/rewritten redraw/redrawn leave/left "
        "blur/blurred shrink/shrunk grow/grown let/let wear/worn"
    )
)
_INTRANSITIVE = words_of("zoom look focus")
_ADDS = words_of("add put place insert draw include introduce write hang attach bring move shift slide apply")
# verbs whose object changes by itself: "the dress gradually changes to ..."
_CHANGES = dict.fromkeys(words_of("change alter modify edit update set switch vary redo"), "change") | {
    verb: verb for verb in words_of("turn transform convert morph shift adjust")
}
_SWAPS = words_of("replace swap exchange substitute")
_BECOMES = words_of("make turn paint color colour dye get")
_INTO = r"(?:into|to|with|as|from|for|using|so|by|like|instead|until|without|about)\b"
_INTO = rf"(?!to the (?:left|right|top|bottom|side|front|back)\b){_INTO}"
_AT = (
    r"(?:in|on|at|onto|into|to|near|next|behind|above|below|under|over|beside|between|around|inside|across|along|with|"
    r"from|for|as|against)\b"
)
_NOUN = (
    r"(?P<thing>(?:(?:the|an?|his|her|their|its|my|this|that|these|those|both|all) )?[\w'\u2019-]+"
    r"(?: (?:in|on|of) (?:the|an?) \w+)?)"
)
_HAS = re.compile(rf"{_NOUN} (?P<rest>(?!(?:an?|the|on|in|at|to)\b).+)", re.I)
_DOES = re.compile(
    rf"{_NOUN} (?P<rest>(?:emit|glow|shine|hold|wear|show|face|carry|reflect|cast|spray|burn)\b.*)", re.I
)
_SEEMS = re.compile(r"(?P<thing>.+?) (?:to )?(?:look|appear|seem|feel) (?P<rest>.+)", re.I)
_GIVES = re.compile(r"(?P<thing>(?:the|an?|this|my) [\w'-]+|\w+) (?P<rest>.+)", re.I)
_DEGREE = r"(?:much|very|slightly|a bit|a little)"
_MORE = re.compile(rf"(?P<thing>.+?) (?P<rest>(?:{_DEGREE} )?(?:more|less|\w{{3,}}er)\b.*)", re.I)
# shows that an imperative's verb stands before it, though it is not among VERBS
_OBJECT = re.compile(
    r"(?:the|an?|this|that|these|those|his|her|their|its|my|some|all|both|him|them|it|two|three)\b", re.I
)
_FIRST = re.compile(r"(?P<place>(?:in|on|at|to|next to|beside|above|below|behind|under) [^,]+), (?P<rest>.+)", re.I)
_HOW_FIRST = re.compile(r"(?P<how>(?!apply\b)\w+ly) (?P<rest>.+)", re.I)
_HOW = re.compile(r"(?P<thing>.+) (?P<how>a bit|a little(?: bit)?|a lot|(?:counter)?clockwise|upside down|\w+ly)", re.I)
_WISH = re.compile(
    r"(?P<thing>.+?) (?:should|must|shall|could|would|might|may|can|needs? to|ha(?:s|ve) to|ought to|(?:is|are) to)"
    r"(?P<be> be)? (?P<rest>.+)",
    re.I,
)


def passive(text: str, task: str) -> str:
    """Returns the outcome of the imperative, wish or noun phrase `text`, without a stop; it keeps its content words."""
    if first := _FIRST.fullmatch(text):
        return f"{passive(first['rest'], task)} {first['place'][:1].lower()}{first['place'][1:]}"
    if how := _HOW_FIRST.fullmatch(text):
        return passive(f"{how['rest']} {how['how'].lower()}", task)
    verb, _, rest = text.partition(" ")
    low = verb.lower()
    if not rest or not (low in VERBS or (low not in FUNCTION and _OBJECT.match(rest))):
        return _stated(text, task)
    if low in _INTRANSITIVE:
        return f"The {'person' if low == 'look' else 'view'} gradually {third_person(low)} {rest}"
    if low in ("make", "let", "have") and (found := _SEEMS.fullmatch(rest)):
        return f"{_named(found['thing'])} gradually {_s('begin', found['thing'])} to look {found['rest']}"
    if low in ("let", "have") and (found := _HAS.fullmatch(rest)):
        if re.match(r"\w+[^s\W]s ", found["rest"]):
            return f"{_named(found['thing'])} gradually {found['rest']}"
        return f"{_named(found['thing'])} gradually {_s('begin', found['thing'])} to {found['rest']}"
    if low == "give" and (found := _GIVES.fullmatch(rest)):
        return f"{_is(definite(found['thing']))} given {found['rest']}"
    if low == "make" and (found := _DOES.fullmatch(rest)):
        return f"{_named(found['thing'])} gradually {_s('begin', found['thing'])} to {found['rest']}"
    if low == "make" and (found := _MORE.fullmatch(rest)):
        return f"{_named(found['thing'])} gradually {_s('become', found['thing'])} {found['rest']}"
    done = _IRREGULAR.get(low) or participle(low)
    if (both := re.fullmatch(r"and ((\w+)( .+)?)", rest)) and (second := both[2].lower()) in VERBS:
        if both[3] and second != "make":
            return passive(both[1], task).replace("gradually ", f"gradually {done} and ", 1)
        return f"The image is gradually {done} and {_IRREGULAR.get(second) or participle(second)}{both[3] or ''}"
    if particle := re.match(r"(?:in|out|up|off|down|away|back) ", rest):
        done, rest = f"{done} {particle.group().strip()}", rest[particle.end() :]
    if low in _CHANGES and re.match(r"(?:to|into) ", rest):
        return f"The image gradually {third_person(_CHANGES[low])} {rest}"
    if re.match(r"(?:to|by|about|until) ", rest):
        return f"The image is gradually {done} {rest}"
    thing, tail = _split(rest, low)
    if low in _SWAPS and (into := re.fullmatch(r"(?:with|by|for|to) (.+)", tail)):
        return f"{_named(thing)} gradually {_s('turn', thing)} into {into[1]}"
    if low in _CHANGES and re.match(r"(?:to|into|from) ", tail):
        return f"{_named(thing)} gradually {_s(_CHANGES[low], thing)} {tail}"
    if how := _HOW.fullmatch(thing):
        thing, tail = how["thing"], f"{how['how']} {tail}".rstrip()
    new = low in _ADDS and not re.match(r"(?:the|it|them|him|her)\b", thing)
    return f"{_is(with_article(thing) if new else definite(thing))} {done} {tail}".rstrip()


def _split(rest: str, verb: str) -> tuple[str, str]:
    """Returns the thing that a verb is done to, and what follows it."""
    if found := re.search(rf" (?={_AT if verb in _ADDS else _INTO})", rest):
        return rest[: found.start()], rest[found.end() :]
    last = rf"(?:an? .+|(?:(?:{_DEGREE}|bright|dark|light|pale) )*\S+)"
    if verb in _BECOMES and (found := re.fullmatch(rf"(\S+(?: \S+)*?) ({last})", rest)):
        return (rest, "") if found[1].lower() in FUNCTION else (found[1], found[2])
    return rest, ""


def _stated(text: str, task: str) -> str:
    if wish := _WISH.fullmatch(text):
        verb = _s("become", wish["thing"]) if wish["be"] else f"{_s('begin', wish['thing'])} to"
        return f"{_named(wish['thing'])} gradually {verb} {wish['rest']}"
    text = text[:1].lower() + text[1:] if text[1:2].islower() else text
    if state := re.fullmatch(r"(?P<thing>[\w' -]+?) (?P<is>is|are) (?P<rest>\w+(?:ed|n)\b.*)", text):
        return f"{_named(state['thing'])} {state['is']} gradually {state['rest']}"
    if task == "addition":
        return f"{sentence(with_article(text))} gradually {_s('appear', text)}"
    if task == "removal":
        return f"{_named(text)} gradually {_s('fade', text)} away"
    return f"The scene gradually takes on {with_article(text)}"


def _named(thing: str) -> str:
    return sentence(definite(thing))


def _is(thing: str) -> str:
    return f"{sentence(thing)} {'are' if plural(thing) else 'is'} gradually"


def _s(verb: str, thing: str) -> str:
    return verb if plural(definite(thing)) else third_person(verb)
