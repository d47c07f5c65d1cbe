"""The words of instructions and captions: tokens, stems, and the word classes that rules and checks need."""

import re

TOKEN = re.compile(r"[^\W_]+(?:[-'\u2019][^\W_]+)*")
QUOTED = re.compile(
    r"\"([^\"]+)\"|[\u201c\u201e]([^\u201d\u201c]+)[\u201d\u201c]|[\u2018\u201a]([^\u2019]+)\u2019|\u00ab([^\u00bb]+)\u00bb|"
    r"\u300c([^\u300d]+)\u300d|\u300e([^\u300f]+)\u300f|(?<![A-Za-z0-9])'([^']+)'(?![A-Za-z0-9])"
)


def words_of(*lines: str) -> frozenset[str]:
    """Returns the set of words in `lines`, separated by blanks."""
    return frozenset(" ".join(lines).split())


COLORS = words_of(
    "red orange yellow green blue purple pink black white gray grey brown blond blonde cyan teal "
    "turquoise magenta violet indigo maroon crimson scarlet navy beige tan ivory gold golden silver lime "
    "olive lavender peach coral",
)
MATERIALS = words_of(
    "leather wood wooden metal metallic glass marble stone fabric plastic rubber paper wool velvet silk "
    "denim brick concrete ceramic porcelain steel iron copper bronze chrome crystal ice clay straw bamboo "
    "lego plain striped checkered checked dotted polka-dot plaid shiny matte fur furry knitted granite "
    "diamond cardboard",
)
SHAPES = words_of(
    "circle square triangle star heart cross rectangle oval diamond cube sphere ball ring disc disk hexagon pentagon"
)
PLACES = words_of(
    "top bottom left right upper lower center centre middle above below under beneath over behind beside "
    "between near inside outside front background foreground north south east west beach forest desert "
    "snow city ocean meadow sky mountain lake river street garden kitchen bedroom office park room space",
)
NUMBERS = words_of("one two three four five six seven eight nine ten dozen hundred both several many pair couple")
# a caption may name one of these only if its instruction does: else the teacher would make another edit
NAMED = COLORS | MATERIALS | SHAPES | PLACES | NUMBERS

FUNCTION = words_of(
    "a an the this that these those it its he she they them him her his their there here i you we my your "
    "our me and or but so then also as at by for from in into of off on onto out to toward towards up "
    "with within without is are was were be been being should would could can will shall may might must "
    "do does did have has had just now all any some each every more very really quite please if while "
    "until so too not no s t d ll",
)
# words of a request that a caption need not repeat
REQUEST = words_of(
    "add put place insert draw include introduce create remove delete erase eliminate clear wipe get rid "
    "take away replace swap exchange substitute change turn make convert transform set switch give let "
    "have apply render recolor recolour use want need like become becomes look looks edit modify alter "
    "show instead write say says read reads spell spells paint dye color colour colored coloured restyle "
    "redraw repaint rewrite tint hide change's keep image picture photo photograph scene whole entire "
    "style effect tone text word words letter letters texture material pattern finish surface made corner "
    "area side place position same grade cinematic version clean photoshop strip cut edit crop vanish decorate "
    "superimpose equip relocate transport morph adjust hue built build carved insert shade everything thing bit "
    "portray depict showcase illustrate evoke feature display reflect represent revise redesign revamp rearrange "
    "mimic resemble seamlessly completely entirely fully posture pose expression gesture everyone process highlight "
    "highlighting featuring "
    "worn wear part "
    "slightly lot setting appear though switch move caption trade use fill hang stick draw attach mount alter update "
    "translate wish prefer",
)


def words(text: str) -> list[str]:
    """Returns the tokens in order, in lower case, without possessive endings."""
    return [re.sub(r"['\u2019]s?$", "", token) for token in TOKEN.findall(text.lower())]


# what only looks like a form of another word
_WHOLE = words_of(
    "harness witness eyewitness business lioness wilderness governess baroness kitten mitten hammer copper rubber "
    "dinner butter letter ladder summer pepper zipper slipper banner flower tower shower corner poster sweater counter "
    "number"
)
_EN = {"written": "write", "hidden": "hide", "ridden": "ride", "bitten": "bite"}


def stem(word: str) -> str:
    """Returns a crude stem, equal for raise, raises, raised and raising, and for dark, darken and darker.

    It tells apart what an e or y makes another word: cap and cape, plan and plane, tin and tiny.
    """
    if word in _WHOLE or word.removesuffix("s") in _WHOLE:
        return word if word in _WHOLE else word.removesuffix("s")
    word = _EN.get(word, word)
    word = re.sub(r"(?<=\w{3})(?:-styled?|-like|-colou?red|ness)$", "", word).replace("-", "")
    for ending in ("ening", "ened", "ens", "en", "ing", "ers", "er", "ies", "ied", "ed", "es", "s", "y", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word[: -len(ending)]
            if ending != "s" and re.fullmatch("[^aeiou]+[aeiou][^aeiouswxyz]", word):
                return word + ("y" if ending in ("y", "ies", "ied") else "e")
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "sl" else word


def stems(text: str) -> list[str]:
    """Returns the stems of the tokens, in order."""
    return [stem(word) for word in words(text)]


def content(text: str) -> set[str]:
    """Returns the stems of the words of an instruction that its caption must keep."""
    return {stem(word) for word in words(text) if word not in FUNCTION and word not in REQUEST}


def verbatim(instruction: str) -> list[str]:
    """Returns the texts that a caption must keep byte for byte: quoted ones, and words in capitals."""
    quoted = [next(group for group in match.groups() if group) for match in QUOTED.finditer(instruction)]
    rest = QUOTED.sub(" ", instruction)
    if rest.isupper():  # a shouted instruction singles out nothing
        return quoted
    shouted = re.findall(r"\b[A-Z][A-Z0-9]+\b", rest)
    return quoted + [word for word in shouted if word.lower() not in FUNCTION]


# long words of requests, whose misspellings are corrected; those of short words are often other words
_SPELLED = words_of(
    "remove delete replace change convert transform increase brighten background exchange substitute please whiten"
)


def _deletions(word: str) -> list[str]:
    """Returns `word` without each one of its inner letters."""
    return [word[:at] + word[at + 1 :] for at in range(1, len(word) - 1)]


def _swaps(word: str) -> list[str]:
    """Returns `word` with each two neighbouring letters swapped."""
    return [word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(len(word) - 1)]


_SLIPS = {"teh": "the"} | {slip: word for word in _SPELLED for slip in _deletions(word) + _swaps(word)}


def spelled(word: str) -> str:
    """Corrects a request's verb that has two letters swapped, one missing or one too many."""
    if word.isupper():  # perhaps a text to write
        return word
    low = word.lower()
    right = _SLIPS.get(low) or next((cut for cut in _deletions(low) if cut in _SPELLED), "")
    if not right or low in _SPELLED:
        return word
    return right.capitalize() if word[0].isupper() else right
