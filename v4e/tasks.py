"""The 11 tasks: Table 1 with its caption templates, and a rule classifier of instructions."""

import re
from dataclasses import dataclass

from v4e.words import COLORS, MATERIALS, QUOTED, verbatim


@dataclass(frozen=True)
class Row:
    """A row of Table 1."""

    label: str  # the paper's name
    cue: str  # its typical instruction
    template: str  # of the caption, with slots; v4e/templates.py fills them
    closing: str  # what stays: appended to every caption of the task, never asked of a model


TABLE1: dict[str, Row] = {
    "addition": Row(
        "Subject Addition",
        "add a red balloon above the boy",
        "{target} gradually {appears} {place}",
        "everything else remains still",
    ),
    "removal": Row(
        "Subject Removal",
        "remove the trash can on the left",
        "{source} gradually {fades} away",
        "everything else remains still",
    ),
    "replacement": Row(
        "Subject Replacement",
        "replace the mug with a teacup",
        "{source} gradually {turns} into {target} in place",
        "pose, lighting, and surroundings remain unchanged",
    ),
    "background": Row(
        "Background Change",
        "change background to a beach",
        "The background slowly transforms into {target}",
        "the main subject and foreground remain unchanged",
    ),
    "color": Row(
        "Color Alteration",
        "make the car blue",
        "{source} color gradually shifts to {target}",
        "reflections and all other elements remain consistent",
    ),
    "material": Row(
        "Material Modification",
        "turn the sofa into leather",
        "{source} texture gradually becomes {target}",
        "geometry and the rest of the scene remain unchanged",
    ),
    "text": Row(
        "Text Modification",
        "change text to 'OPEN'",
        "{source} text gradually changes to {target}",
        "layout and surrounding pixels remain unchanged",
    ),
    "motion": Row(
        "Motion Change",
        "raise the person's right hand",
        "{source} slowly {moves} {place}",
        "the rest of the body and scene remain steady",
    ),
    "portrait": Row(
        "Portrait Editing & Beautification",
        "smooth skin and brighten eyes",
        "{source} {is} gently {smoothed} over time",
        "identity and other details remain unchanged",
    ),
    "style": Row(
        "Style Transfer",
        "convert to watercolor style",
        "The scene gradually adopts {target} style",
        "composition and content remain unchanged",
    ),
    "tone": Row(
        "Tone Transformation",
        "apply warm cinematic grade",
        "The image gradually shifts to {target}",
        "structure and content remain unchanged",
    ),
}
TASKS: tuple[str, ...] = tuple(TABLE1)

_WHOLE = (
    r"(?:it|this|everything|(?:the |this )?(?:whole |entire )?(?:image|picture|photo|photograph|scene|"
    r"shot|view|frame))"
)
_CHANGE = r"(?:make|turn|change|convert|transform|give|set|switch|paint|recolou?r|colou?r|tint|dye|cover|let|have)"
_ADD = r"(?:add|put|place|insert|draw|include|introduce|create)"
_REMOVE = r"(?:remove|delete|erase|get rid of|take (?:away|out|off)|eliminate|clear|wipe)"
_COLOR = rf"(?:(?:light|dark|bright|deep|pale|hot|sky|navy|pastel|neon)[ -])*(?:{'|'.join(sorted(COLORS))})"
_MATERIAL = rf"(?:{'|'.join(sorted(MATERIALS))})"
_BODY = (
    r"(?:skin|wrinkles?|freckles?|acne|blemish(?:es)?|pimples?|lips?|lipstick|make-?up|mascara|eyeliner|"
    r"eyeshadow|eyelash(?:es)?|lashes|eyebrows?|brows?|eyes?|hair(?:style|cut)?|beard|m(?:o)?ustache|"
    r"teeth|cheeks?|chin|jaw|nose|complexion|dark circles)"
)
_MOVE = (
    r"(?:raise|lift|lower|wave|tilt|rotate|spin|bend|stretch|extend|sit|stand|jump|run|walk|smile|frown|"
    r"laugh|cry|wink|blink|open|close|shut|look|pose|move|slide|shift|push|pull|drag|fold|point|nod|kick|"
    r"dance|clap|lean|crouch|kneel|fly|swim|drop|flip|swing|sleep|yawn|hug|shake)"
)
_TONE = (
    r"(?:tones?|grad(?:e|ing)|filter|lighting|mood|atmosphere|vibe|contrast|saturat\w+|exposure|"
    r"brightness|vintage|sepia|monochrome|gr[ae]yscale|black[ -]and[ -]white|night(?:time)?|day(?:time|"
    r"light)?|dawn|dusk|sunset|sunrise|golden hour|winter|summer|spring|autumn|season|rain(?:y|ing)?|"
    r"snow(?:y|ing)?|fog(?:gy)?|mist(?:y)?|sunny|cloudy|storm(?:y)?|weather|cinematic|hdr|warm(?:er|th)?|"
    r"cold(?:er)?|cool(?:er)?|dark(?:er|en)?|bright(?:er|en)?|moody|dim(?:mer)?)"
)
_STYLE = (
    r"(?:(?<!hair )styles?\b|watercolou?r|sketch|cartoon|anime|manga|comic|pixel[ -]art|pop[ -]art|line"
    r"[ -]art|painting|van gogh|ghibli|cubis\w+|impressionis\w+|pencil drawing|charcoal|3d render|"
    r"claymation|origami|mosaic|woodcut)"
)

# (task, pattern, whether it decides alone), first match wins; the order settles the borders between tasks
_RULES: tuple[tuple[str, str, bool], ...] = (
    ("text", r"\b(?:text|words?|letters?|lettering|slogan|font|writing|inscription|headline)\b", True),
    ("text", r"\b(?:says?|reads?|spells?)\b(?! (?:a |the )?(?:book|newspaper))", True),
    ("style", rf"^(?!{_ADD}\b|{_REMOVE}\b|replace\b).*\b{_STYLE}", True),
    ("addition", rf"^{_ADD}\b.* (?:in|to|into|on|against) the (?:back|fore)ground$", True),
    ("background", rf"^(?!{_REMOVE} (?!the background|background)).*\b(?:background|backdrop)\b", True),
    (
        "background",
        rf"^(?:put|place|move|set|take|bring|transport) {_WHOLE} (?:in|on|at|into|onto|to)\b",
        True,
    ),
    (
        "background",
        r"^(?:change|replace|swap|set|switch) the (?:scenery|setting|sky|location|surroundings)\b",
        True,
    ),
    ("tone", rf"^{_REMOVE} .*\b(?:fog|haze|noise|blur|rain|snow)\b", False),
    ("portrait", rf"^{_REMOVE} .*\b{_BODY}\b", True),
    (
        "removal",
        rf"^{_REMOVE}\b|^(?:make|let) .* (?:disappear|vanish|go away)$|^take .* (?:away|out)\b(?: (?:of|from)\b.*)?$",
        True,
    ),
    (
        "motion",
        r"^(?:open|close|shut|blink|wink|raise|roll|move)\b.*\b(?:eyes?|eyebrows?|mouth|lips)\b",
        True,
    ),
    ("motion", rf"^{_CHANGE} .*\b(?:eyes?|mouth|expression) (?:open|closed?|shut)$", True),
    ("motion", r"\b(?:expression|gesture|pose|posture)\b", True),
    (
        "addition",
        rf"^{_ADD}\b.*\b(?:sun)?glasses|^{_ADD}\b.*\b(?:hat|cap|earrings?|necklace|scarf|crown)\b",
        True,
    ),
    ("portrait", rf"\b{_BODY}\b", True),
    ("portrait", r"\b(?:younger|older|beautify|retouch|slim(?:mer)?|bald|face)\b", False),
    ("tone", rf"^(?:shift|move|push) .*\b{_TONE}\b", True),
    ("motion", rf"^{_MOVE}\b", True),
    ("motion", rf"^(?:make|have|let|get) .+ (?:to )?{_MOVE}(?: \w+)*$", True),
    ("motion", rf"^(?:make|change) .+ (?:so .* )?(?:is |are )?{_MOVE}(?:t|n|m)?ing\b", True),
    ("motion", r"^(?:turn|put) .*\b(?:head|body|arms?|hands?|legs?|foot|feet)\b.*", True),
    ("motion", r"^(?:turn|put) .* (?:around|upside down|sideways|up|down)$", False),
    (
        "tone",
        rf"^(?:{_CHANGE}|apply|use|add|adjust|increase|decrease|boost) (?:an? )?.*\b(?:grad(?:e|ing)|"
        r"filter|tones?|mood|lighting|atmosphere|contrast|saturation|brightness|exposure|vibe)\b",
        True,
    ),
    (
        "tone",
        rf"^(?:{_CHANGE}|brighten|darken) {_WHOLE}\b.*\b{_TONE}\b|^(?:brighten|darken|dim|warm|cool) "
        rf"{_WHOLE}",
        True,
    ),
    ("tone", rf"^(?:make|turn) {_WHOLE} (?:look |feel |appear )?\w+$", False),
    ("tone", r"^(?:enhance|restore|denoise|deblur|sharpen|colou?ri[sz]e|relight|desaturate|grade)\b", True),
    ("tone", r"^(?:change|set|switch) the (?:weather|season|time of day|light(?:ing)?)\b", True),
    ("material", r"\b(?:material|texture|made (?:out )?of|pattern)\b", True),
    ("material", rf"^{_CHANGE} (?!{_WHOLE} ).*\b{_MATERIAL}(?: (?:look|finish|surface|one))?$", True),
    ("color", rf"\bcolou?rs?\b.*\b{_COLOR}\b|^(?:re)?(?:colou?r|paint|dye|tint)\b", True),
    ("color", rf"^{_CHANGE} (?!{_WHOLE} ).*\b{_COLOR}(?: colou?r| instead)?$", True),
    ("color", rf"^(?:make|change) .*\b(?:colou?r|{_COLOR}|darker|lighter|brighter)$", False),
    ("replacement", r"^(?:replace|swap|exchange|substitute)\b|\binstead of\b|\bin place of\b", True),
    ("replacement", r"^(?:turn|change|transform|convert|morph) .+ (?:into|to) (?:an?|the|some)\b", True),
    ("replacement", r"^(?:turn|change|transform|convert|morph|make) .+ (?:into|to|an?)\b", False),
    ("addition", rf"^(?:{_ADD}|there (?:should|must) be|let there be|give)\b|, {_ADD}\b", True),
    ("tone", rf"\b{_TONE}\b", False),
)
_COMPILED = tuple((task, re.compile(pattern), alone) for task, pattern, alone in _RULES)
_POLITE = re.compile(
    r"^(?:please|kindly|now|just|can you|could you|would you|i want (?:you )?to|i'd like (?:you )?to|"
    r"let's|try to|you should|i want|i need)[ ,]+",
    re.I,
)


def normalize(instruction: str) -> str:
    """One line without politeness and final punctuation; case and quotes stay."""
    text = " ".join(instruction.split()).rstrip(" .!?;,")
    while (shorter := _POLITE.sub("", text)) != text:
        text = shorter
    return text


def rule_task(instruction: str) -> tuple[str, bool]:
    """(task, confident) of an instruction by rules alone; ("", False) where no rule applies.

    Instructions of several atomic edits get the task of the first one.
    """
    parts = atoms(instruction)
    if len(parts) > 1:
        found = [rule_task(part) for part in parts]
        return found[0][0], all(sure for _, sure in found)
    text = normalize(instruction)
    if QUOTED.search(text) or (verbatim(text) and re.search(r"\b(?:sign|poster|label|banner|shirt|logo)\b", text)):
        return "text", True
    text = text.lower()
    for task, pattern, alone in _COMPILED:
        if pattern.search(text):
            return task, alone
    return "", False


_JOINT = re.compile(
    r"(?:\s*[,;]\s*(?:and\s+)?(?:then\s+)?|\s+and\s+then\s+|\s+and\s+(?:also\s+)?|\s+then\s+|"
    rf"\.\s+(?:then\s+)?)(?=(?:{_ADD}|{_REMOVE}|{_CHANGE}|replace|swap|apply|convert|raise|lift|lower|"
    r"move|smooth|brighten|darken|whiten|soften|sharpen)\b\s+\w)",
    re.I,
)


def atoms(instruction: str) -> list[str]:
    """The atomic edits of an instruction, in order: split before each further imperative, outside quotes."""
    text = normalize(instruction)
    quoted = [match.span() for match in QUOTED.finditer(text)]
    parts, start = [], 0
    for joint in _JOINT.finditer(text):
        leads = re.match(r"(?:in|at|on|to) the\b", text[start : joint.start()], re.I)  # "in the top left, add ..."
        if joint.start() > start and not leads and not any(a < joint.start() < b for a, b in quoted):
            parts.append(text[start : joint.start()].strip())
            start = joint.end()
    return [*parts, text[start:].strip()]
