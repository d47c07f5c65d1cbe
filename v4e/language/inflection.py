"""Forms of English words, as far as captions need them: articles, plurals, possessives and forms of verbs.

Written by hand, because packages cost more than they give here: ``inflect`` 7.6 takes 2 s of CPU to import and
calls "bus" a plural. ``lemminflect`` 0.2 agrees on all verbs but "beautify" that the world and the fixtures use.
"""

import re

from v4e.language.words import COLORS, MATERIALS, QUOTED, words, words_of

_MASSES = words_of(
    "snow rain fog mist smoke fire water grass sunlight light lipstick makeup make-up mascara text ice dust"
)

_ONE_IN_S = words_of("this its his lens canvas gas iris atlas christmas texas paris")
_AFTER_HEAD = re.compile(
    r" (?:(?:in|on|at|of|with|above|below|under|behind|beside|near|next|from|to|along|around|that|which|who|except|"
    r"\w+ing)\b|\w+ed (?=in |on |by |at |with |across |around )) ?"
)
_PRONOUNS = {"it": "object", "them": "objects", "him": "person", "her": "person", "me": "person", "this": "image"}
_DETERMINER = (
    r"(?:the|all|both|my|our|your|his|her|their|its|this|that|these|those|every|each|some|another|more|"
    r"several|many|no|one|two|three|four|five|six|seven|eight|nine|ten|\d+|\w+['\u2019]s)\b"
)


def plural(noun_phrase: str) -> bool:
    """True if a noun phrase takes a plural verb, by the last word before its first preposition."""
    head = _AFTER_HEAD.split(noun_phrase + " ")[0]
    if re.match(r"(?:all|both|two|three|four|five|several|many|some (?=\w+s\b))\b", noun_phrase, re.I):
        return True
    last = (words(head) or [""])[-1]
    pair = re.search(r"(\w+) and ", head)  # "the gray and white cat" is one
    if pair and pair[1].lower() not in COLORS | MATERIALS:
        return True
    return bool(re.search(r"(?<![su])s$|^(?:people|men|women|children|feet|teeth)$", last)) and last not in _ONE_IN_S


def with_article(noun_phrase: str) -> str:
    """Turns ``beach`` into ``a beach``; plurals, mass nouns and phrases with a determiner stay."""
    if re.match(rf"an?\b|{_DETERMINER}", noun_phrase, re.I) or QUOTED.match(noun_phrase) or plural(noun_phrase):
        return noun_phrase
    if (words(noun_phrase) or [""])[-1] in _MASSES or re.fullmatch(r"[A-Z][a-z]+", noun_phrase):
        return noun_phrase
    return f"{'an' if noun_phrase[:1].lower() in 'aeiou' else 'a'} {noun_phrase}"


def definite(noun_phrase: str) -> str:
    """Turns ``red circle`` into ``the red circle``; determiners stay, pronouns get a noun."""
    if noun := _PRONOUNS.get(noun_phrase.lower()):
        return f"the {noun}"
    noun_phrase = re.sub(r"^(?:him|them|her(?= \w+ing\b)|me) ", "the person ", noun_phrase, flags=re.I)
    noun_phrase = re.sub(r"^only (?=the\b)", "", noun_phrase, flags=re.I)
    noun_phrase = re.sub(r"^(?:my|our|your)\b", "the", noun_phrase, flags=re.I)
    if re.match(_DETERMINER, noun_phrase, re.I):
        return noun_phrase
    return "the " + re.sub(r"^an? ", "", noun_phrase, flags=re.I)


def sentence(text: str) -> str:
    """Puts the first letter in upper case and leaves the rest."""
    return text[:1].upper() + text[1:]


def possessive(noun_phrase: str) -> str:
    """Appends ``'s``, or the apostrophe alone to a plural in s."""
    if noun_phrase.endswith(("'s", "\u2019s")):
        return noun_phrase
    return f"{noun_phrase}'" if re.search(r"(?<!s)s$", noun_phrase) and plural(noun_phrase) else f"{noun_phrase}'s"


def third_person(verb: str) -> str:
    """Turns ``fade`` into ``fades``."""
    return verb + ("es" if re.search(r"(?:s|sh|ch|x|z|o)$", verb) else "s")


def gerund(verb: str) -> str:
    """Turns ``sit`` into ``sitting``."""
    if verb in ("lie", "die", "tie"):
        return verb[:-2] + "ying"
    if re.fullmatch(r"[a-z]*[^aeiou][aeiou][bdgmnpt]", verb) and len(verb) <= 4:
        return f"{verb}{verb[-1]}ing"
    return (verb[:-1] if re.search(r"[^e]e$", verb) else verb) + "ing"


def participle(verb: str) -> str:
    """Turns ``smooth`` into ``smoothed``."""
    verb = verb.lower()
    if re.search(r"[^aeiou]y$", verb):
        return verb[:-1] + "ied"
    double = ("slim", "trim", "plan", "tan", "thin", "dim", "swap", "crop", "flip", "wrap", "drop", "strip")
    return verb + "d" if verb.endswith("e") else verb + (verb[-1] if verb in double else "") + "ed"
