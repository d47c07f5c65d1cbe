"""A rule classifier of one imperative: which of the 11 tasks it asks for, by ordered patterns."""

import re

from v4e.lexicon import (
    BODY,
    COLOR,
    GRADE,
    LIGHT,
    LOOKS,
    MATERIAL,
    MOVE,
    PERSON,
    RETOUCH,
    SCENE,
    STYLE,
    TONE,
    WEAK_STYLE,
    WEATHER,
)

WHOLE = (
    r"(?:it|everything|(?:this|that)(?! (?!into|to|in|look|as|like|more|an?|from|by|using|with|feel|be)\w)|(?:the |"
    r"this |my |that )?(?:(?:whole|entire|old|faded|complete) )*(?:image|picture|photo|"
    r"photograph|pic|scene|shot|view|frame|drawing|painting|thing|selfie|landscape))"
)
_CHANGE = (
    r"(?:make|turn|change|convert|transform|give|set|switch|cover|let|have|render|swap|replace|morph|alter|modify|"
    r"adjust|shift|"
    r"redraw|reimagine|remake|redo|restyle|stylize|style|apply|use|get|show|edit|update|bring|build|put|tint)"
)
_PAINT = r"(?:(?:re)?(?:paint|colou?r|dye|tint|hue)|spray[ -]paint)"
ADD = (
    r"(?:add|put|place|insert|draw|include|introduce|create|hang|stick|superimpose|attach|throw in|pop|drop in|"
    r"mount|overlay|"
    r"decorate|equip|fill|plant|sprinkle|scatter|append|install|position|arrange|park|seat|sketch in|paint in|bring "
    r"in|compose)"
)
REMOVE = (
    r"(?:remove|delete|erase|get rid of|take (?:away|out|off)|eliminate|clear|wipe|clean(?: up| off| away)?|crop "
    r"out|edit out|"
    r"photoshop out|cut out|lose|hide|vanish|strip|do away with|throw (?:out|away)|discard|exclude|omit|ditch|scrap|"
    r"banish|"
    r"subtract|wash off|dispose of|leave out|rid|paint out|peel off|pull out|pluck|take)"
)
_WORDS = (
    r"\b(?:texts?|words?|letters?|lettering|slogan|fonts?|writing|inscription|headline|caption|subtitle|title|"
    r"typography|typo|"
    r"spelling|handwriting|signature|translate|sentence|phrase|characters|numbers?|digits?|speech bubble|(?:my|the|"
    r"store|shop|"
    r"brand|first|last) name|price|date on|lyrics|quote|message)\b"
)
# (task, pattern, whether it decides alone), first match wins; the order settles the borders between tasks
_RULES: tuple[tuple[str, str, bool], ...] = (
    ("text", _WORDS, True),
    ("text", r"\b(?:says?|reads?|spells?)\b(?! (?:a |an |the |his |her )?(?:book|newspaper|magazine|letter))", True),
    (
        "tone",
        rf"^(?:restore|colou?ri[sz]e|brighten|darken|sharpen|denoise|deblur|enhance|desaturate|relight|grade) "
        rf"(?!.*\b{BODY}\b)",
        True,
    ),
    # style: of the whole picture, or by a name that only styles have
    (
        "material",
        r"\b(?:made|carved|built|knitted|constructed|crafted|sculpted|woven|formed|cast)\b.*\b(?:of|from|"
        r"out of|with|in)\b",
        True,
    ),
    (
        "style",
        rf"^(?!{ADD}\b|{REMOVE}\b|replace (?!.*\bstyle)).*\b(?:in(?:to)?|as|to|like|of) (?:the |an? )?(?"
        rf":style|manner) of\b",
        True,
    ),
    (
        "style",
        rf"^(?!{ADD}\b|{REMOVE}\b|replace\b).*(?<!hair )(?<!hair-)\bstyles?\b(?! of (?:the|his|her) (?:hair|"
        rf"clothes))",
        True,
    ),
    ("style", r"^(?:as if|as though) .*\b(?:drawn|painted|sketched|made|rendered)\b|\b(?:stylize|restyle)\b", True),
    ("style", rf"^(?!{ADD}\b|{REMOVE}\b|replace\b|move\b|open\b|paint\b (?!{WHOLE}\b)).*\b{STYLE}\b", True),
    ("style", rf"^{_CHANGE} {WHOLE}\b.*\b{WEAK_STYLE}\b", True),
    ("addition", rf"^{ADD}\b.* (?:in|to|into|on|against) the (?:back|fore)ground$", True),
    ("background", rf"^(?!{REMOVE} (?!the background|background)).*\b(?:background|backdrop)\b", True),
    (
        "background",
        rf"^(?!{REMOVE} |{ADD} ).*\b(?:scenery|setting|surroundings?|environment|location|locale|"
        rf"landscape behind)\b",
        True,
    ),
    (
        "background",
        rf"^(?:replace|swap|change|switch|turn|exchange|substitute|set) (?:out )?(?:the )?(?:sky|what's "
        rf"behind|what is behind|everything (?:else|behind)|"
        rf"(?:area|wall|space|view|scene|part|landscape) behind)\b(?! {COLOR}$)(?! to {COLOR}$)",
        True,
    ),
    ("background", r"^(?:keep|leave) .*\b(?:change|replace|swap) (?:everything|all|the rest)\b", True),
    ("background", rf"^behind .*, (?:show|put|place|have|add) (?:an? |the )?(?:\w+ )*{SCENE}\b", True),
    (
        "background",
        rf"^(?:put|place|move|set|take|bring|transport|relocate|teleport|send|drop|show|stand|imagine|"
        rf"photoshop|paste|situate|position|(?:have|get|let|make)(?= .* (?:standing|stand|sit|sitting|appear|is|are|"
        rf"float|floating|look like)\b)) "
        rf"(?:{WHOLE}|them|him|her|me|us|(?:the|this|that|these|those|my|his|her|our) [\w' -]+?)(?: (?:to be|be|stand|"
        rf"standing|sit|sitting|appear|appearing|walking|is|are|look|like|as if|she|he|they|it|floating))* "
        rf"(?:in front of|in the middle of|in|on|at|into|onto|to|inside|by|through) (?:(?:an?|the|some|the (?:surface|"
        rf"streets|top|middle|shore|edge) of(?: the| an?)?) )?(?:[\w-]+ ){{0,3}}{SCENE}\b"
        r"(?! (?:light|lighting|style|chair|table|wall))",
        True,
    ),
    (
        "background",
        rf"^(?:put|place|move|set|take|bring|transport|relocate|teleport|send|imagine) {WHOLE} (?:in|on|"
        rf"at|into|onto|to|inside)\b",
        True,
    ),
    (
        "background",
        r"\blooks? (?:like|as if) (?:he|she|it|they|i|we|the \w+) (?:is|are|was|were|am)(?: \w+ing)? (?"
        r":in|on|at|inside)\b",
        True,
    ),
    ("background", r"^(?:transport|relocate|teleport)\b", True),
    # removal, but for what is tone or beauty
    (
        "tone",
        rf"^{REMOVE} (?:the |all |some |any )?(?:\w+ )?(?:fog|haze|noise|blur|blurriness|grain|colou?r cast|"
        rf"glare|rain|vignette|yellow tint|tint|mist|smog|overexposure)\b",
        True,
    ),
    ("portrait", rf"^(?:{REMOVE}|reduce|fix|hide|conceal|cover) .*\b(?!(?:sun)?glasses|hats?\b){BODY}\b", True),
    (
        "removal",
        r"^(?:edit|photoshop|crop|cut|take|wipe|pull|clip|blend|airbrush) (?!(?:an?|some) ).+ (?:away|out|"
        r"off)\b(?: (?:of|from)\b.*| (?:that|which)\b.*)?$",
        True,
    ),
    ("removal", r"^(?:leave|keep) (?:only|just)\b", True),
    (
        "removal",
        rf"^(?!take (?:an?|him|her|them) |strip .* down|clear up|clean the (?:image|picture)){REMOVE}\b(?! "
        rf"(?:the )?(?:picture|photo|image)$)",
        True,
    ),
    ("color", rf"^(?:shift|move|turn) (?!{WHOLE} ).* to {COLOR}$", True),
    # motion
    ("motion", r"^(?:open|close|shut|blink|wink|raise|roll|move|squint)\b.*\b(?:eyes?|eyebrows?|mouth|lips)\b", True),
    ("motion", rf"^{_CHANGE} .*\b(?:eyes?|mouth|expression) (?:open|closed?|shut)$", True),
    ("motion", r"\b(?:expression|gestures?|poses?|posture|the action|thumbs?[ -]up|peace sign|high five)\b", True),
    (
        "addition",
        rf"^(?:{ADD}|give|wear)\b.*\b(?:(?:sun)?glasses|hats?|caps?|earrings?|necklace|scarf|crown|mask|"
        rf"bow ?tie|tie|belt|helmet|headphones|beanie|veil|ribbon|tiara|watch)\b",
        True,
    ),
    ("addition", rf"^(?:make|have|let|get) (?:an?|another|some|two|three|one|more) .*\b(?:{MOVE}|{MOVE}ing)\b", True),
    ("portrait", rf"\b{BODY}\b(?! (?:tube|case|bottle|brush|dryer|clip|band|shop))", True),
    ("portrait", rf"^{RETOUCH}\b|\bbeautif\w+\b|\bretouch\b", True),
    ("portrait", rf"^{_CHANGE} .*\b(?:{PERSON}|{WHOLE})\b.*\b(?:{LOOKS}|years? (?:older|younger))\b", True),
    ("portrait", r"\b(?:younger|older|retouch|slim(?:mer)?|bald|years old|lose weight|gain weight)\b", False),
    (
        "tone",
        rf"^(?:shift|move|push|warm|cool|lift|bring|raise|lower|drop|pull) .*\b{TONE}\b(?<!close)$|^(?:lower|"
        rf"raise|lift|reduce|increase|decrease|boost|turn (?:up|down)|adjust|fix|correct|balance|improve|soften) (?"
        rf":the )?(?:\w+ )?(?:{GRADE}|{LIGHT})\b",
        True,
    ),
    ("motion", rf"^(?!drop (?:shadow|in)|give )(?:{MOVE})\b(?! (?:more|the (?:image|picture|photo)))", True),
    (
        "motion",
        rf"^(?:make|have|let|get) (?!{WHOLE} (?:look|snow|rain|warm|cool)).+? (?:to )?(?!look (?!(?:up|down|"
        rf"at|left|right|away|back|into|over|straight|toward)\b)){MOVE}\b(?! (?:up )?{COLOR}$)",
        True,
    ),
    ("motion", rf"^(?:make|change|have|let|get) .+\b(?:{MOVE}|{MOVE}[a-z])(?<!\bcloth)ing\b", True),
    (
        "motion",
        r"^(?:make|let|have|get) .+ (?:sitting|running|lying|swimming|dancing|jumping|waving|flying|smiling|"
        r"riding|facing|moving|hugging|sleeping|pouring|shaking|eating)\b",
        True,
    ),
    (
        "motion",
        r"^(?:turn|put|bring|place|tuck|move|keep) .*\b(?:head|body|arms?|hands?|legs?|foot|feet|fingers?|"
        r"knees?|elbows?|tail|wings?|paws?|fist)\b",
        True,
    ),
    ("motion", r"^(?:turn|put) .* (?:around|upside down|sideways|up|down|over)$", True),
    ("motion", rf"^(?:the|a|an|his|her) \w+(?: \w+)?? (?:{MOVE}(?:e?s)|carries|flies|tries|cries)\b", True),
    # tone
    (
        "tone",
        rf"^(?:{_CHANGE}|{ADD}|increase|decrease|boost) (?:the |an? |some |more |less |it with )?(?:\w+ "
        rf"){{0,3}}(?:grad(?:e|ing)|filter|tones?|mood|lighting|atmosphere|contrast|saturation|"
        r"brightness|exposure|vibe|warmth|vignette|grain|weather|light(?! (?:bulb|fixture|post|pole))|fog|mist|haze|"
        r"rain(?!bow|coat)|sunlight|moonlight|sunbeams?|god rays|lightning|thunderstorm|snowfall)\b",
        True,
    ),
    (
        "tone",
        rf"^(?:{_CHANGE}|{_PAINT}) {WHOLE}\b.*\b{TONE}\b|^(?:dim|warm|cool|lighten|soften|dehaze) {WHOLE}|"
        rf"^let it (?:snow|rain)",
        True,
    ),
    ("tone", rf"^(?:{_CHANGE}) (?:the )?(?:weather|season|time of day|light(?:ing)?|day|night|{WEATHER})\b", True),
    ("tone", rf"^(?:{_CHANGE}) {WHOLE} (?:to |into |in |look |feel |appear |like )*(?:an? )?{COLOR}?[\w -]*$", False),
    # surfaces
    (
        "material",
        rf"^(?:turn|change|transform|convert) (?!{WHOLE} ).* (?:in)?to (?:solid |pure |polished |brushed "
        rf")?(?:gold|silver|bronze|copper|platinum|coral|ivory|amber)$",
        True,
    ),
    ("material", r"\b(?:material|textures?|pattern|finish|fabric|surface)\b", True),
    ("color", rf"\bcolou?r(?:s|ed)?\b|^{_PAINT}\b|\bhue\b|#[0-9a-f]{{6}}\b|\bshade of\b", True),
    ("color", rf"^{_CHANGE} (?!{WHOLE} ).* {COLOR}(?: instead| one)?(?: (?:rather than|instead of|not) .+)?$", True),
    (
        "color",
        rf"^{_CHANGE} (?!{WHOLE} ).* (?:an?|bright) {COLOR} (?:coat|tint|shade|tone|colou?r|paint(?: job)?|"
        rf"feathers|fur|petals|glow|look)$",
        True,
    ),
    ("color", rf"^(?:swap|replace|change|switch) the {COLOR} (?:of|on|in)\b", True),
    ("material", rf"^(?:replace|swap|change|switch) the {MATERIAL} (?:of|on|in)\b", True),
    (
        "material",
        rf"^(?:{_CHANGE}|{_PAINT}|wrap|coat|plate|upholster) (?!{WHOLE} (?:to|with)).*\b{MATERIAL}(?: (?"
        rf":planks|tiles|look|finish|surface|one|texture|version|bricks|plates|cladding|panels|paper|cloth|"
        rf"sculpture|statue))?$",
        True,
    ),
    ("color", r"^(?:make|change) .*\b(?:darker|lighter|brighter|paler)$", False),
    # things
    ("replacement", r"^(?:replace|swap|exchange|substitute)\b|\binstead of\b|\bin place of\b|\brather than\b", True),
    (
        "style",
        rf"^(?:turn|change|transform|convert|render|make|redraw|reimagine|remake) (?:{WHOLE}|me) (?:into|to|"
        rf"as|look like|like|look as if|resemble) (?:an?|the|some|\w+'s)\b",
        False,
    ),
    ("replacement", r"^(?:turn|change|transform|convert|morph) .+ (?:into|to) (?:an?|the|some)\b", True),
    ("replacement", r"^(?:turn|change|transform|convert|morph|make|switch) .+ (?:into|to|be|an?|with|for)\b", False),
    (
        "addition",
        rf"^(?:(?:on|in|next to|at|beside|above|under|near|behind|in front of|over|around|between) .*, ?)?"
        rf"(?:{ADD}|give|show)\b|, {ADD}\b",
        True,
    ),
    ("addition", rf"^(?:an?|another|some|more|one|two|three) (?!.*\b{TONE}\b)", False),
    ("tone", rf"\b{TONE}\b", False),
)
_COMPILED = tuple((task, re.compile(pattern), alone) for task, pattern, alone in _RULES)


def match_rule(text: str) -> tuple[str, bool]:
    """(task, whether the rule decides alone) of a lower-case imperative; ("", False) where no rule applies."""
    for task, pattern, alone in _COMPILED:
        if pattern.search(text):
            return task, alone
    return "", False
