"""A classifier of one imperative into the 11 tasks, by ordered patterns."""

import re

from v4e.language.lexicon import (
    ADD,
    BODY,
    CHANGE,
    COLOR,
    GRADE,
    LIGHT,
    LOOKS,
    MATERIAL,
    MOVE,
    PAINT,
    PERSON,
    REMOVE,
    RETOUCH,
    SCENE,
    STYLE,
    TEXT,
    TONE,
    WEAK_STYLE,
    WEATHER,
    WHOLE,
)

# (task, pattern, whether it decides alone), first match wins; the order settles the borders between tasks
_RULES: tuple[tuple[str, str, bool], ...] = (
    ("text", TEXT, True),
    ("text", r"\b(?:says?|reads?|spells?)\b(?! (?:a |an |the |his |her )?(?:book|newspaper|magazine|letter))", True),
    (
        "tone",
        rf"^(?:restore|colou?ri[sz]e|brighten|darken|sharpen|denoise|deblur|enhance|desaturate|relight|grade) (?"
        rf"!.*\b{BODY}\b)",
        True,
    ),
    # style: of the whole picture, or by a name that only styles have
    (
        "material",
        r"\b(?:made|carved|built|knitted|constructed|crafted|sculpted|woven|formed|cast)\b.*\b(?:of|from|out of|with|"
        r"in)\b",
        True,
    ),
    (
        "style",
        rf"^(?!{ADD}\b|{REMOVE}\b|replace (?!.*\bstyle)).*\b(?:in(?:to)?|as|to|like|of) (?:the |an? )?(?:style|"
        rf"manner) of\b",
        True,
    ),
    (
        "style",
        rf"^(?!{ADD}\b|{REMOVE}\b|replace\b).*(?<!hair )(?<!hair-)\bstyles?\b(?! of (?:the|his|her) (?:hair|clothes)"
        rf")",
        True,
    ),
    ("style", r"^(?:as if|as though) .*\b(?:drawn|painted|sketched|made|rendered)\b|\b(?:stylize|restyle)\b", True),
    ("style", rf"^(?!{ADD}\b|{REMOVE}\b|replace\b|move\b|open\b|paint\b (?!{WHOLE}\b)).*\b{STYLE}\b", True),
    ("style", rf"^{CHANGE} {WHOLE}\b.*\b{WEAK_STYLE}\b", True),
    ("addition", rf"^{ADD}\b.* (?:in|to|into|on|against) the (?:back|fore)ground$", True),
    ("background", rf"^(?!{REMOVE} (?!the background|background)).*\b(?:background|backdrop)\b", True),
    (
        "background",
        rf"^(?!{REMOVE} |{ADD} ).*\b(?:scenery|setting|surroundings?|environment|location|locale|landscape behind)\b",
        True,
    ),
    (
        "background",
        rf"^(?:replace|swap|change|switch|turn|exchange|substitute|set) (?:out )?(?:the )?(?:sky|what's behind|what "
        rf"is behind|everything (?:else|behind)|(?:area|wall|space|view|scene|part|landscape) behind)\b(?! {COLOR}$)"
        rf"(?! to {COLOR}$)",
        True,
    ),
    ("background", r"^(?:keep|leave) .*\b(?:change|replace|swap) (?:everything|all|the rest)\b", True),
    ("background", rf"^behind .*, (?:show|put|place|have|add) (?:an? |the )?(?:\w+ )*{SCENE}\b", True),
    (
        "background",
        rf"^(?:put|place|move|set|take|bring|transport|relocate|teleport|send|drop|show|stand|imagine|photoshop|"
        rf"paste|situate|position|(?:have|get|let|make)(?= .* (?:standing|stand|sit|sitting|appear|is|are|float|"
        rf"floating|look like)\b)) (?:{WHOLE}|them|him|her|me|us|(?:the|this|that|these|those|my|his|her|our) [\w' "
        rf"-]+?)(?: (?:to be|be|stand|standing|sit|sitting|appear|appearing|walking|is|are|look|like|as if|she|he|"
        rf"they|it|floating))* (?:in front of|in the middle of|in|on|at|into|onto|to|inside|by|through) (?:(?:an?|"
        rf"the|some|the (?:surface|streets|top|middle|shore|edge) of(?: the| an?)?) )?(?:[\w-]+ ){{0,3}}{SCENE}\b(?! "
        rf"(?:light|lighting|style|chair|table|wall))",
        True,
    ),
    (
        "background",
        rf"^(?:put|place|move|set|take|bring|transport|relocate|teleport|send|imagine) {WHOLE} (?:in|on|at|into|onto|"
        rf"to|inside)\b",
        True,
    ),
    (
        "background",
        r"\blooks? (?:like|as if) (?:he|she|it|they|i|we|the \w+) (?:is|are|was|were|am)(?: \w+ing)? (?:in|on|at|"
        r"inside)\b",
        True,
    ),
    ("background", r"^(?:transport|relocate|teleport)\b", True),
    # removal, but for what is tone or beauty
    (
        "tone",
        rf"^{REMOVE} (?:the |all |some |any )?(?:\w+ )?(?:fog|haze|noise|blur|blurriness|grain|colou?r cast|glare|"
        rf"rain|vignette|yellow tint|tint|mist|smog|overexposure)\b",
        True,
    ),
    ("portrait", rf"^(?:{REMOVE}|reduce|fix|hide|conceal|cover) .*\b(?!(?:sun)?glasses|hats?\b){BODY}\b", True),
    (
        "removal",
        r"^(?:edit|photoshop|crop|cut|take|wipe|pull|clip|blend|airbrush) (?!(?:an?|some) ).+ (?:away|out|off)\b(?: "
        r"(?:of|from)\b.*| (?:that|which)\b.*)?$",
        True,
    ),
    ("removal", r"^(?:leave|keep) (?:only|just)\b", True),
    (
        "removal",
        rf"^(?!take (?:an?|him|her|them) |strip .* down|clear up|clean the (?:image|picture)){REMOVE}\b(?! (?:the )?"
        rf"(?:picture|photo|image)$)",
        True,
    ),
    ("color", rf"^(?:shift|move|turn) (?!{WHOLE} ).* to {COLOR}$", True),
    # motion
    ("motion", r"^(?:open|close|shut|blink|wink|raise|roll|move|squint)\b.*\b(?:eyes?|eyebrows?|mouth|lips)\b", True),
    ("motion", rf"^{CHANGE} .*\b(?:eyes?|mouth|expression) (?:open|closed?|shut)$", True),
    ("motion", r"\b(?:expression|gestures?|poses?|posture|the action|thumbs?[ -]up|peace sign|high five)\b", True),
    (
        "addition",
        rf"^(?:{ADD}|give|wear)\b.*\b(?:(?:sun)?glasses|hats?|caps?|earrings?|necklace|scarf|crown|mask|bow ?tie|tie|"
        rf"belt|helmet|headphones|beanie|veil|ribbon|tiara|watch)\b",
        True,
    ),
    ("addition", rf"^(?:make|have|let|get) (?:an?|another|some|two|three|one|more) .*\b(?:{MOVE}|{MOVE}ing)\b", True),
    ("portrait", rf"\b{BODY}\b(?! (?:tube|case|bottle|brush|dryer|clip|band|shop))", True),
    ("portrait", rf"^{RETOUCH}\b|\bbeautif\w+\b|\bretouch\b", True),
    ("portrait", rf"^{CHANGE} .*\b(?:{PERSON}|{WHOLE})\b.*\b(?:{LOOKS}|years? (?:older|younger))\b", True),
    ("portrait", r"\b(?:younger|older|retouch|slim(?:mer)?|bald|years old|lose weight|gain weight)\b", False),
    (
        "tone",
        rf"^(?:shift|move|push|warm|cool|lift|bring|raise|lower|drop|pull) .*\b{TONE}\b(?<!close)$|^(?:lower|raise|"
        rf"lift|reduce|increase|decrease|boost|turn (?:up|down)|adjust|fix|correct|balance|improve|soften) (?:the )?"
        rf"(?:\w+ )?(?:{GRADE}|{LIGHT})\b",
        True,
    ),
    ("motion", rf"^(?!drop (?:shadow|in)|give )(?:{MOVE})\b(?! (?:more|the (?:image|picture|photo)))", True),
    (
        "motion",
        rf"^(?:make|have|let|get) (?!{WHOLE} (?:look|snow|rain|warm|cool)).+? (?:to )?(?!look (?!(?:up|down|at|left|"
        rf"right|away|back|into|over|straight|toward)\b)){MOVE}\b(?! (?:up )?{COLOR}$)",
        True,
    ),
    ("motion", rf"^(?:make|change|have|let|get) .+\b(?:{MOVE}|{MOVE}[a-z])(?<!\bcloth)ing\b", True),
    (
        "motion",
        r"^(?:make|let|have|get) .+ (?:sitting|running|lying|swimming|dancing|jumping|waving|flying|smiling|riding|"
        r"facing|moving|hugging|sleeping|pouring|shaking|eating)\b",
        True,
    ),
    (
        "motion",
        r"^(?:turn|put|bring|place|tuck|move|keep) .*\b(?:head|body|arms?|hands?|legs?|foot|feet|fingers?|knees?|"
        r"elbows?|tail|wings?|paws?|fist)\b",
        True,
    ),
    ("motion", r"^(?:turn|put) .* (?:around|upside down|sideways|up|down|over)$", True),
    ("motion", rf"^(?:the|a|an|his|her) \w+(?: \w+)?? (?:{MOVE}(?:e?s)|carries|flies|tries|cries)\b", True),
    # tone
    (
        "tone",
        rf"^(?:{CHANGE}|{ADD}|increase|decrease|boost) (?:the |an? |some |more |less |it with )?(?:\w+ ){{0,3}}(?"
        rf":grad(?:e|ing)|filter|tones?|mood|lighting|atmosphere|contrast|saturation|brightness|exposure|vibe|warmth|"
        rf"vignette|grain|weather|light(?! (?:bulb|fixture|post|pole))|fog|mist|haze|rain(?!bow|coat)|sunlight|"
        rf"moonlight|sunbeams?|god rays|lightning|thunderstorm|snowfall)\b",
        True,
    ),
    (
        "tone",
        rf"^(?:{CHANGE}|{PAINT}) {WHOLE}\b.*\b{TONE}\b|^(?:dim|warm|cool|lighten|soften|dehaze) {WHOLE}|^let it (?"
        rf":snow|rain)",
        True,
    ),
    ("tone", rf"^(?:{CHANGE}) (?:the )?(?:weather|season|time of day|light(?:ing)?|day|night|{WEATHER})\b", True),
    ("tone", rf"^(?:{CHANGE}) {WHOLE} (?:to |into |in |look |feel |appear |like )*(?:an? )?{COLOR}?[\w -]*$", False),
    # surfaces
    (
        "material",
        rf"^(?:turn|change|transform|convert) (?!{WHOLE} ).* (?:in)?to (?:solid |pure |polished |brushed )?(?:gold|"
        rf"silver|bronze|copper|platinum|coral|ivory|amber)$",
        True,
    ),
    ("material", r"\b(?:material|textures?|pattern|finish|fabric|surface)\b", True),
    ("color", rf"\bcolou?r(?:s|ed)?\b|^{PAINT}\b|\bhue\b|#[0-9a-f]{{6}}\b|\bshade of\b", True),
    ("color", rf"^{CHANGE} (?!{WHOLE} ).* {COLOR}(?: instead| one)?(?: (?:rather than|instead of|not) .+)?$", True),
    (
        "color",
        rf"^{CHANGE} (?!{WHOLE} ).* (?:an?|bright) {COLOR} (?:coat|tint|shade|tone|colou?r|paint(?: job)?|feathers|"
        rf"fur|petals|glow|look)$",
        True,
    ),
    ("color", rf"^(?:swap|replace|change|switch) the {COLOR} (?:of|on|in)\b", True),
    ("material", rf"^(?:replace|swap|change|switch) the {MATERIAL} (?:of|on|in)\b", True),
    (
        "material",
        rf"^(?:{CHANGE}|{PAINT}|wrap|coat|plate|upholster) (?!{WHOLE} (?:to|with)).*\b{MATERIAL}(?: (?:planks|"
        rf"tiles|look|finish|surface|one|texture|version|bricks|plates|cladding|panels|paper|cloth|sculpture|statue)"
        rf")?$",
        True,
    ),
    ("color", r"^(?:make|change) .*\b(?:darker|lighter|brighter|paler)$", False),
    # things
    ("replacement", r"^(?:replace|swap|exchange|substitute)\b|\binstead of\b|\bin place of\b|\brather than\b", True),
    (
        "style",
        rf"^(?:turn|change|transform|convert|render|make|redraw|reimagine|remake) (?:{WHOLE}|me) (?:into|to|as|look "
        rf"like|like|look as if|resemble) (?:an?|the|some|\w+'s)\b",
        False,
    ),
    ("replacement", r"^(?:turn|change|transform|convert|morph) .+ (?:into|to) (?:an?|the|some)\b", True),
    ("replacement", r"^(?:turn|change|transform|convert|morph|make|switch) .+ (?:into|to|be|an?|with|for)\b", False),
    (
        "addition",
        rf"^(?:(?:on|in|next to|at|beside|above|under|near|behind|in front of|over|around|between) .*, ?)?(?:{ADD}|"
        rf"give|show)\b|, {ADD}\b",
        True,
    ),
    ("addition", rf"^(?:an?|another|some|more|one|two|three) (?!.*\b{TONE}\b)", False),
    ("tone", rf"\b{TONE}\b", False),
)
_COMPILED = tuple((task, re.compile(pattern), alone) for task, pattern, alone in _RULES)


def match_rule(text: str) -> tuple[str, bool]:
    """Returns (task, whether the rule decides alone) of a lower-case imperative; ("", False) if no rule applies."""
    for task, pattern, alone in _COMPILED:
        if pattern.search(text):
            return task, alone
    return "", False
