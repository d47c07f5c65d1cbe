"""Cuts an instruction into the clauses that ask for one edit each, and those that say what stays."""

import html
import re
from dataclasses import dataclass

from v4e.language.inflection import gerund
from v4e.language.words import QUOTED, spelled, words_of

HIDDEN = 0xE000  # first of the characters, in private use, that stand for quoted texts
VERBS = words_of(
    "add put place insert draw include introduce create remove delete erase get take eliminate clear wipe make "
    "turn change convert transform give set switch paint repaint recolor recolour colorize colourize color colour "
    "tint dye cover let have replace swap apply raise lift lower move smooth brighten darken whiten soften "
    "sharpen lighten increase decrease reduce enhance adjust crop zoom rotate flip blur cut edit fix restore "
    "retouch enlarge shrink resize scale expand translate write rewrite fill dress render redraw stylize adopt "
    "show bring keep leave straighten tilt open close modify alter update correct improve boost desaturate "
    "saturate use exchange substitute transport shift slide slice light focus slim beautify photoshop combine "
    "extract mute deform outline hang wrap decorate strengthen intensify balance look extend coat upscale denoise "
    "trim tone hide shave grow center merge generate animate design relight dim warm cool strip bend cross spread "
    "stretch pose attach mark touch"
)
_VERB = f"(?:{'|'.join(sorted(VERBS, key=lambda verb: (-len(verb), verb)))})"
# "would you mind removing the bus", "blur the sky while adding a kite": an imperative in another form
_GERUNDS = {
    gerund(verb): verb
    for verb in words_of("add remove delete erase replace change convert transform insert adjust recolor swap place")
}
# what stands between politeness and the verb, in any order and number
_LEAD = re.compile(
    r"^(?:[\s,.:;!*\u2022#>-]+|\(?\d{1,2}[.)]\s+|(?:please|pls|plz|kindly|now|just|hey|hi|hello|ok|okay|then|also|"
    r"and|but|finally|next|first(?:ly)?|second(?:ly)?|third(?:ly)?|lastly|after that|afterwards|maybe|perhaps|"
    r"simply|guys|everyone|if possible|so basically|need to|trying to|try to|help me(?: to)?|feel free to|"
    r"go ahead and|in addition|additionally|you (?:should|could)|we (?:should|could)|let(?:'|\u2019)s|let us|"
    r"(?:can|could|would|will|may|might)(?: you| someone| somebody| anyone| anybody| i| we)(?: please| maybe|"
    r" kindly| possibly| pretty please)*(?: be able to| mind)?|i(?:(?:'|\u2019)d| would)? (?:want|like|love|need|"
    r"prefer)(?: you)? to|is it possible to|hoping to)\b[\s,:]*)+",
    re.I,
)
_TAIL = re.compile(
    r"[\s,]+(?:please|pls|plz|thanks?(?: you)?(?: so much| very much| in advance)?|for me|if (?:possible|you "
    r"can))[\s.!?]*$",
    re.I,
)
_STAY = r"(?:keep|keeping|retain|retaining|maintain|maintaining|preserve|preserving|leave|leaving)"
_TOUCH = r"(?:alter|chang|modify|touch|affect|disturb|mov|damag|ruin)\w*"
_KEEP = re.compile(
    rf"^(?:while |and |but |, )*(?:(?:still |always )?{_STAY}\b(?! (?:only|just)\b)|(?:without|not|don't|do not|"
    rf"never|avoid) "
    rf"{_TOUCH}|ensur(?:e|ing)\b|mak(?:e|ing) sure\b|(?:everything|all) else\b|"
    rf"(?:the|his|her|its|their|all) [^,]*\b(?:stays?|remains?|(?:is|are) kept)\b)",
    re.I,
)
_BEFORE_KEEP = re.compile(
    rf"(?:[,;.]?\s+(?:while|but|and)|[,;])\s+(?=(?:still |also |please )*{_STAY}\b(?! (?:only|just|it)\b)|"
    rf"(?:without|don't|"
    rf"do not) )|(?:,\s*|\s+)(?=without {_TOUCH}|(?:keeping|maintaining|preserving|retaining|ensuring|making sure) )",
    re.I,
)
# nouns more often than verbs: an imperative only before what it is done to
_NOUNS = (
    "tone|colou?r|light|focus|design|cover|look|cross|mark|touch|cool|warm|dim|slide|shift|cut|balance|trim|tint|pose"
)
_IT = (
    r"(?:the|an?|this|that|these|those|his|her|their|its|my|some|all|both|each|every|it|him|them|me|at|up|down|out|in)"
)
_JOINT = re.compile(
    rf"(?:\s*[,;]\s*(?:(?:and|then|also|but)\s+)*|\s+(?:and|then|but|also)\s+(?:(?:then|also|please)\s+)*|"
    rf"\s*[.!?]+\s+(?:(?:and|then|also|please|next)[\s,]+)*)"
    rf"(?=(?:(?:please|trying to|(?:i|we) (?:want|need) to|(?:can|could) (?:you|someone))\s+)*"
    rf"(?!(?:{_NOUNS})\s(?!{_IT}\b)){_VERB}\b\s+\S)",
    re.I,
)
_WHILE = re.compile(rf",? (?:while|and)(?: also| then)? (?=(?:{'|'.join(_GERUNDS)})\s)", re.I)
# people in a hurry write "remove background add hearts"; a capital may stand for the stop
_BARE = re.compile(
    r"(?<![,;.:!?-])(?<!\bto)(?<!\band)(?<!\bthen)(?<!\bor)(?<!\bplease)(?<!\bnot)(?<!\byou)(?<!\bsomeone)(?<!\banyone)"
    r"(?<!\balso)(?<!\bi)(?<!n't)\s+(?=(?:add|remove|delete|erase|replace|make|put|turn|change|write|crop|zoom|"
    r"darken|lighten|brighten)"
    r"\s+(?:the|an?|colors?|background|his|her|their|its|my|this|that|these|those|all|some|any|it|him|them|me|out|"
    r"in|more|"
    r"each|both|one|every|everything)\b|(?:add|remove|replace|delete|erase)\s+\w|(?:Add|Remove|Delete|Erase|Replace|"
    r"Change|"
    r"Crop|Zoom|Insert|Eliminate|Swap|Darken|Lighten|Make|Put|Shrink|Touch|Also|Blur)\s)"
)
_END = re.compile(
    r"\s*(?:\n+\s*(?:\d{1,2}[.)]\s+)?|;|[.!?\u3002\uff01]+(?=\s+[A-Z\[(]|\s*$|\w*[\u3000-\u9fff])|(?<=[a-z]{3})[.!?]+(?=\s+[a-z]|[A-Z][a-z])|"
    r"(?:^|\s)(?:\d{1,2}[.)]|[\u2022*])\s+)\s*"
)
_LONE = re.compile(r"(?:\w+ly )?\w+(?: \w+ly)?")  # a verb whose object follows with the next verb
_ASIDE = re.compile(r"(?:in|at|on|to|next to|beside|above|behind|below|under|for|with|instead of|if|where) ", re.I)
_ASKS = re.compile(rf"{_VERB}\b", re.I)
_MARKS = re.compile(r"<(?:image|img|video)[^>]*>|\[(?:specific|general|serious|request|paid|free)\]", re.I)


@dataclass(frozen=True)
class Clauses:
    """The clauses of an instruction, in order; a quoted text is one character, and `shown` brings it back."""

    edits: tuple[str, ...]  # never empty, without politeness; some may ask for nothing
    keeps: tuple[str, ...]  # what stays, in the writer's words
    quoted: tuple[str, ...]  # with their quotation marks, byte for byte

    def shown(self, text: str) -> str:
        for at, quote in enumerate(self.quoted):
            text = text.replace(chr(HIDDEN + at), quote)
        return text


def clauses(instruction: str) -> Clauses:
    """Cuts `instruction` before each further imperative, sentence, item of a list, and clause about what stays.

    Entities of HTML, ``<image>``, tags of forums and characters that are not printed are left out, but not from
    quoted texts.
    """
    quoted: list[str] = []
    text, at = "", 0
    if not QUOTED.search(instruction):  # entities in a quoted text are part of it
        instruction = instruction.replace("&quot;", '"').replace("&#39;", "'")
    for found in QUOTED.finditer(instruction):
        text += _plain(instruction[at : found.start()]) + chr(HIDDEN + len(quoted))
        quoted.append(found.group())
        at = found.end()
    text = re.sub("[ \t]+", " ", text + _plain(instruction[at:])).strip()
    text = re.sub(r"[A-Za-z]{3,}", lambda word: spelled(word.group()), text)
    edits: list[str] = []
    keeps: list[str] = []
    for sentence in _END.split(text):
        for part in _cut(sentence):
            bare = stripped(part)
            if any(c.isalpha() or ord(c) >= HIDDEN for c in bare):
                (keeps if _KEEP.match(bare) or _KEEP.match(part) else edits).append(bare)
    if not edits and keeps:
        edits = [keeps.pop(0)]
    return Clauses(tuple(edits) or (text,), tuple(keeps), tuple(quoted))


def asks(clause: str) -> bool:
    """True if a clause begins with a verb of requests."""
    return bool(_ASKS.match(clause))


def stripped(text: str) -> str:
    """Takes politeness, list marks and final stops from a clause; "removing the bus" becomes an imperative."""
    before = ""
    while before != text:
        before, text = text, _TAIL.sub("", _LEAD.sub("", text.strip())).strip(" .!?;,")
    first, blank, rest = text.partition(" ")
    return f"{_GERUNDS[first.lower()]} {rest}" if blank and first.lower() in _GERUNDS else text


def _plain(text: str) -> str:
    """Reads entities, and leaves out marks and what is not printed; a line's end stays one."""
    text = re.sub("[\u2028\u2029\r\v\f]", "\n", _MARKS.sub(" ", html.unescape(text)))
    return "".join(c if c == "\n" or c.isprintable() else " " for c in text)


def _cut(sentence: str) -> list[str]:
    parts, start = [], 0
    marks = {found.span() for pattern in (_BEFORE_KEEP, _JOINT, _WHILE, _BARE) for found in pattern.finditer(sentence)}
    for end, after in sorted(marks):
        part = stripped(sentence[start:end]) if end >= start else ""
        lone = end > start and _LONE.fullmatch(part) and _ASKS.match(part) and after < len(sentence)
        if part and not lone and (_ASKS.match(part) or not _ASIDE.match(part)):
            parts.append(sentence[start:end])
            start = after
    return [part for part in (*parts, sentence[start:]) if stripped(part)]
