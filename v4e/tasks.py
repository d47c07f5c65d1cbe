"""The 11 tasks: Table 1 with its caption templates, and a rule classifier of instructions."""

import re
from dataclasses import dataclass

from v4e.lexicon import BODY, COLOR, GRADE, LIGHT, LOOKS, MATERIAL, MOVE, PERSON, RETOUCH, SCENE, STYLE, TONE, WEAK_STYLE, WEATHER
from v4e.wishes import imperative
from v4e.words import QUOTED, verbatim


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
    r"(?:it|everything|(?:this|that)(?! (?!into|to|in|look|as|like|more|an?|from|by|using|with|feel|be)\w)|(?:the |this |my |that )?(?:(?:whole|entire|old|faded|complete) )*(?:image|picture|photo|"
    r"photograph|pic|scene|shot|view|frame|drawing|painting|thing|selfie|landscape))"
)
_CHANGE = (
    r"(?:make|turn|change|convert|transform|give|set|switch|cover|let|have|render|swap|replace|morph|alter|modify|adjust|shift|"
    r"redraw|reimagine|remake|redo|restyle|stylize|style|apply|use|get|show|edit|update|bring|build|put|tint)"
)
_PAINT = r"(?:(?:re)?(?:paint|colou?r|dye|tint|hue)|spray[ -]paint)"
_ADD = (
    r"(?:add|put|place|insert|draw|include|introduce|create|hang|stick|superimpose|attach|throw in|pop|drop in|mount|overlay|"
    r"decorate|equip|fill|plant|sprinkle|scatter|append|install|position|arrange|park|seat|sketch in|paint in|bring in|compose)"
)
_REMOVE = (
    r"(?:remove|delete|erase|get rid of|take (?:away|out|off)|eliminate|clear|wipe|clean(?: up| off| away)?|crop out|edit out|"
    r"photoshop out|cut out|lose|hide|vanish|strip|do away with|throw (?:out|away)|discard|exclude|omit|ditch|scrap|banish|"
    r"subtract|wash off|dispose of|leave out|rid|paint out|peel off|pull out|pluck|take)"
)
_WORDS = (
    r"\b(?:texts?|words?|letters?|lettering|slogan|fonts?|writing|inscription|headline|caption|subtitle|title|typography|typo|"
    r"spelling|handwriting|signature|translate|sentence|phrase|characters|numbers?|digits?|speech bubble|(?:my|the|store|shop|"
    r"brand|first|last) name|price|date on|lyrics|quote|message)\b"
)
_THING = r"(?:the |a |an |my |his |her |their |our |its |this |that |all )?[\w' -]+?"

# (task, pattern, whether it decides alone), first match wins; the order settles the borders between tasks
_RULES: tuple[tuple[str, str, bool], ...] = (
    ("text", _WORDS, True),
    ("text", r"\b(?:says?|reads?|spells?)\b(?! (?:a |an |the |his |her )?(?:book|newspaper|magazine|letter))", True),
    ("tone", rf"^(?:restore|colou?ri[sz]e|brighten|darken|sharpen|denoise|deblur|enhance|desaturate|relight|grade) (?!.*\b{BODY}\b)", True),
    # style: of the whole picture, or by a name that only styles have
    ("material", rf"\b(?:made|carved|built|knitted|constructed|crafted|sculpted|woven|formed|cast)\b.*\b(?:of|from|out of|with|in)\b", True),
    ("style", rf"^(?!{_ADD}\b|{_REMOVE}\b|replace (?!.*\bstyle)).*\b(?:in(?:to)?|as|to|like|of) (?:the |an? )?(?:style|manner) of\b", True),
    ("style", rf"^(?!{_ADD}\b|{_REMOVE}\b|replace\b).*(?<!hair )(?<!hair-)\bstyles?\b(?! of (?:the|his|her) (?:hair|clothes))", True),
    ("style", rf"^(?:as if|as though) .*\b(?:drawn|painted|sketched|made|rendered)\b|\b(?:stylize|restyle)\b", True),
    ("style", rf"^(?!{_ADD}\b|{_REMOVE}\b|replace\b|move\b|open\b|paint\b (?!{_WHOLE}\b)).*\b{STYLE}\b", True),
    ("style", rf"^{_CHANGE} {_WHOLE}\b.*\b{WEAK_STYLE}\b", True),
    ("addition", rf"^{_ADD}\b.* (?:in|to|into|on|against) the (?:back|fore)ground$", True),
    ("background", rf"^(?!{_REMOVE} (?!the background|background)).*\b(?:background|backdrop)\b", True),
    ("background", rf"^(?!{_REMOVE} |{_ADD} ).*\b(?:scenery|setting|surroundings?|environment|location|locale|landscape behind)\b", True),
    ("background", rf"^(?:replace|swap|change|switch|turn|exchange|substitute|set) (?:out )?(?:the )?(?:sky|what's behind|what is behind|everything (?:else|behind)|"
     rf"(?:area|wall|space|view|scene|part|landscape) behind)\b(?! {COLOR}$)(?! to {COLOR}$)", True),
    ("background", rf"^(?:keep|leave) .*\b(?:change|replace|swap) (?:everything|all|the rest)\b", True),
    ("background", rf"^behind .*, (?:show|put|place|have|add) (?:an? |the )?(?:\w+ )*{SCENE}\b", True),
    ("background", rf"^(?:put|place|move|set|take|bring|transport|relocate|teleport|send|drop|show|stand|imagine|photoshop|paste|situate|position|(?:have|get|let|make)(?= .* (?:standing|stand|sit|sitting|appear|is|are|float|floating|look like)\b)) "
     rf"(?:{_WHOLE}|them|him|her|me|us|(?:the|this|that|these|those|my|his|her|our) [\w' -]+?)(?: (?:to be|be|stand|standing|sit|sitting|appear|appearing|walking|is|are|look|like|as if|she|he|they|it|floating))* "
     rf"(?:in front of|in the middle of|in|on|at|into|onto|to|inside|by|through) (?:(?:an?|the|some|the (?:surface|streets|top|middle|shore|edge) of(?: the| an?)?) )?(?:[\w-]+ ){{0,3}}{SCENE}\b"
     r"(?! (?:light|lighting|style|chair|table|wall))", True),
    ("background", rf"^(?:put|place|move|set|take|bring|transport|relocate|teleport|send|imagine) {_WHOLE} (?:in|on|at|into|onto|to|inside)\b", True),
    ("background", r"\blooks? (?:like|as if) (?:he|she|it|they|i|we|the \w+) (?:is|are|was|were|am)(?: \w+ing)? (?:in|on|at|inside)\b", True),
    ("background", r"^(?:transport|relocate|teleport)\b", True),
    # removal, but for what is tone or beauty
    ("tone", rf"^{_REMOVE} (?:the |all |some |any )?(?:\w+ )?(?:fog|haze|noise|blur|blurriness|grain|colou?r cast|glare|rain|vignette|yellow tint|tint|mist|smog|overexposure)\b", True),
    ("portrait", rf"^(?:{_REMOVE}|reduce|fix|hide|conceal|cover) .*\b(?!(?:sun)?glasses|hats?\b){BODY}\b", True),
    ("removal", rf"^(?:edit|photoshop|crop|cut|take|wipe|pull|clip|blend|airbrush) (?!(?:an?|some) ).+ (?:away|out|off)\b(?: (?:of|from)\b.*| (?:that|which)\b.*)?$", True),
    ("removal", r"^(?:leave|keep) (?:only|just)\b", True),
    ("removal", rf"^(?!take (?:an?|him|her|them) |strip .* down|clear up|clean the (?:image|picture)){_REMOVE}\b(?! (?:the )?(?:picture|photo|image)$)", True),
    ("color", rf"^(?:shift|move|turn) (?!{_WHOLE} ).* to {COLOR}$", True),
    # motion
    ("motion", r"^(?:open|close|shut|blink|wink|raise|roll|move|squint)\b.*\b(?:eyes?|eyebrows?|mouth|lips)\b", True),
    ("motion", rf"^{_CHANGE} .*\b(?:eyes?|mouth|expression) (?:open|closed?|shut)$", True),
    ("motion", r"\b(?:expression|gestures?|poses?|posture|the action|thumbs?[ -]up|peace sign|high five)\b", True),
    ("addition", rf"^(?:{_ADD}|give|wear)\b.*\b(?:(?:sun)?glasses|hats?|caps?|earrings?|necklace|scarf|crown|mask|bow ?tie|tie|belt|helmet|headphones|beanie|veil|ribbon|tiara|watch)\b", True),
    ("addition", rf"^(?:make|have|let|get) (?:an?|another|some|two|three|one|more) .*\b(?:{MOVE}|{MOVE}ing)\b", True),
    ("portrait", rf"\b{BODY}\b(?! (?:tube|case|bottle|brush|dryer|clip|band|shop))", True),
    ("portrait", rf"^{RETOUCH}\b|\bbeautif\w+\b|\bretouch\b", True),
    ("portrait", rf"^{_CHANGE} .*\b(?:{PERSON}|{_WHOLE})\b.*\b(?:{LOOKS}|years? (?:older|younger))\b", True),
    ("portrait", r"\b(?:younger|older|retouch|slim(?:mer)?|bald|years old|lose weight|gain weight)\b", False),
    ("tone", rf"^(?:shift|move|push|warm|cool|lift|bring|raise|lower|drop|pull) .*\b{TONE}\b(?<!close)$|^(?:lower|raise|lift|reduce|increase|decrease|boost|turn (?:up|down)|adjust|fix|correct|balance|improve|soften) (?:the )?(?:\w+ )?(?:{GRADE}|{LIGHT})\b", True),
    ("motion", rf"^(?!drop (?:shadow|in)|give )(?:{MOVE})\b(?! (?:more|the (?:image|picture|photo)))", True),
    ("motion", rf"^(?:make|have|let|get) (?!{_WHOLE} (?:look|snow|rain|warm|cool)).+? (?:to )?(?!look (?!(?:up|down|at|left|right|away|back|into|over|straight|toward)\b)){MOVE}\b(?! (?:up )?{COLOR}$)", True),
    ("motion", rf"^(?:make|change|have|let|get) .+\b(?:{MOVE}|{MOVE}[a-z])(?<!\bcloth)ing\b", True),
    ("motion", rf"^(?:make|let|have|get) .+ (?:sitting|running|lying|swimming|dancing|jumping|waving|flying|smiling|riding|facing|moving|hugging|sleeping|pouring|shaking|eating)\b", True),
    ("motion", r"^(?:turn|put|bring|place|tuck|move|keep) .*\b(?:head|body|arms?|hands?|legs?|foot|feet|fingers?|knees?|elbows?|tail|wings?|paws?|fist)\b", True),
    ("motion", r"^(?:turn|put) .* (?:around|upside down|sideways|up|down|over)$", True),
    ("motion", rf"^(?:the|a|an|his|her) \w+(?: \w+)?? (?:{MOVE}(?:e?s)|carries|flies|tries|cries)\b", True),
    # tone
    ("tone", rf"^(?:{_CHANGE}|{_ADD}|increase|decrease|boost) (?:the |an? |some |more |less |it with )?(?:\w+ ){{0,3}}(?:grad(?:e|ing)|filter|tones?|mood|lighting|atmosphere|contrast|saturation|"
     r"brightness|exposure|vibe|warmth|vignette|grain|weather|light(?! (?:bulb|fixture|post|pole))|fog|mist|haze|rain(?!bow|coat)|sunlight|moonlight|sunbeams?|god rays|lightning|thunderstorm|snowfall)\b", True),
    ("tone", rf"^(?:{_CHANGE}|{_PAINT}) {_WHOLE}\b.*\b{TONE}\b|^(?:dim|warm|cool|lighten|soften|dehaze) {_WHOLE}|^let it (?:snow|rain)", True),
    ("tone", rf"^(?:{_CHANGE}) (?:the )?(?:weather|season|time of day|light(?:ing)?|day|night|{WEATHER})\b", True),
    ("tone", rf"^(?:{_CHANGE}) {_WHOLE} (?:to |into |in |look |feel |appear |like )*(?:an? )?{COLOR}?[\w -]*$", False),
    # surfaces
    ("material", rf"^(?:turn|change|transform|convert) (?!{_WHOLE} ).* (?:in)?to (?:solid |pure |polished |brushed )?(?:gold|silver|bronze|copper|platinum|coral|ivory|amber)$", True),
    ("material", r"\b(?:material|textures?|pattern|finish|fabric|surface)\b", True),
    ("color", rf"\bcolou?r(?:s|ed)?\b|^{_PAINT}\b|\bhue\b|#[0-9a-f]{{6}}\b|\bshade of\b", True),
    ("color", rf"^{_CHANGE} (?!{_WHOLE} ).* {COLOR}(?: instead| one)?(?: (?:rather than|instead of|not) .+)?$", True),
    ("color", rf"^{_CHANGE} (?!{_WHOLE} ).* (?:an?|bright) {COLOR} (?:coat|tint|shade|tone|colou?r|paint(?: job)?|feathers|fur|petals|glow|look)$", True),
    ("color", rf"^(?:swap|replace|change|switch) the {COLOR} (?:of|on|in)\b", True),
    ("material", rf"^(?:replace|swap|change|switch) the {MATERIAL} (?:of|on|in)\b", True),
    ("material", rf"^(?:{_CHANGE}|{_PAINT}|wrap|coat|plate|upholster) (?!{_WHOLE} (?:to|with)).*\b{MATERIAL}(?: (?:planks|tiles|look|finish|surface|one|texture|version|bricks|plates|cladding|panels|paper|cloth|sculpture|statue))?$", True),
    ("color", rf"^(?:make|change) .*\b(?:darker|lighter|brighter|paler)$", False),
    # things
    ("replacement", r"^(?:replace|swap|exchange|substitute)\b|\binstead of\b|\bin place of\b|\brather than\b", True),
    ("style", rf"^(?:turn|change|transform|convert|render|make|redraw|reimagine|remake) (?:{_WHOLE}|me) (?:into|to|as|look like|like|look as if|resemble) (?:an?|the|some|\w+'s)\b", False),
    ("replacement", r"^(?:turn|change|transform|convert|morph) .+ (?:into|to) (?:an?|the|some)\b", True),
    ("replacement", r"^(?:turn|change|transform|convert|morph|make|switch) .+ (?:into|to|be|an?|with|for)\b", False),
    ("addition", rf"^(?:(?:on|in|next to|at|beside|above|under|near|behind|in front of|over|around|between) .*, ?)?(?:{_ADD}|give|show)\b|, {_ADD}\b", True),
    ("addition", rf"^(?:an?|another|some|more|one|two|three) (?!.*\b{TONE}\b)", False),
    ("tone", rf"\b{TONE}\b", False),
)  # fmt: skip
_COMPILED = tuple((task, re.compile(pattern), alone) for task, pattern, alone in _RULES)


def normalize(instruction: str) -> str:
    """One line without politeness and final punctuation; case and quotes stay."""
    return imperative(" ".join(instruction.split()))


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
