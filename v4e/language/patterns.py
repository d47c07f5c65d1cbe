"""Patterns of the slots of an imperative, for each task; group names are fields of
:class:`v4e.language.slots.Slots`."""

from v4e.language.lexicon import ADD, COLOR, MATERIAL, MOVE, REMOVE, WHOLE

PLACE = (
    r"(?:(?:in|on|at|onto|into|above|below|under|underneath|beneath|behind|beside|near|over|between|around|inside|"
    r"next to|in front of|to the (?:left|right|top|bottom)|to|by|against|within|along|across|leaning on|leaning "
    r"against|hanging from|(?:perched|seated|sitting|standing|lying|floating|flying|hanging|resting|parked|placed|"
    r"hovering|growing|swimming|sleeping|mounted|attached|tied|running|walking) (?:\w+ )?(?:in|on|at|above|below|under|"
    r"behind|beside|near|over|between|around|inside|next to|in front of|to|by|against|within|along|across))\s.+|"
    r"(?:top|bottom|upper|lower)[ -](?"
    r":left|right|center|middle)(?: corner)?)"
)
_COLOR = rf"(?:#[0-9a-f]{{6}}|(?:an? )?(?:\w+ )?shade of {COLOR}|(?:{COLOR} )?{COLOR})"
_MATERIAL = rf"(?:(?:brushed|polished|solid|rough|rusty|shiny|dark|white|black|carved) )?(?:{MATERIAL} )?{MATERIAL}"
_MAKE = r"(?:make|turn|change|convert|transform|switch|set)"
_DEF = r"(?:(?:the|this|that|these|those|my|his|her|their|its|our|both|all) )"
_THING = rf"(?P<source>(?:{_DEF}\S.*?|(?!{_DEF})\S.*?))"  # "the sky", never "the" alone before "sky pink"
_NEW = r"(?:an?|another|some|more|one|two|three|four|five|several|many)"
_VERB = rf"(?P<verb>(?:{MOVE}))"

# patterns of each task, tried in order; group names are fields of Slots
PATTERNS: dict[str, tuple[str, ...]] = {
    "addition": (
        rf"(?P<place>(?:in|on|at|above|below|under|behind|near|next to|beside) .+?),? {ADD} (?P<target>.+)",
        r"(?:decorate|equip|fill|adorn|furnish) (?P<on>.+?) with (?P<target>.+)",
        rf"(?:make|have|let|get) (?P<target>{_NEW} .+?) (?P<place>{MOVE}\b.*)",
        rf"(?:{ADD}|show(?= (?:{_NEW}|two)\b)) (?P<target>.+?) (?P<place>{PLACE})",
        rf"(?:{ADD}|show(?= (?:{_NEW}|two)\b)) (?P<target>.+)",
        r"give (?P<on>(?:the |a |an |his |her )?\w+(?: \w+)??) (?P<target>(?:an? |some ).+)",
    ),
    "removal": (
        rf"(?:strip|peel|pluck) (?P<source>.+?) (?:off|from) (?P<holder>(?!{WHOLE}$).+)",
        rf"take (?P<source>.+?) (?:away|out)(?: (?:of|from) {WHOLE})?",
        rf"{REMOVE} (?P<source>.+?)(?: (?:seamlessly|completely|entirely|fully))?(?: (?:from|in) {WHOLE})?",
        rf"(?:cut|edit|crop|photoshop|wipe|clip) (?P<source>.+?) (?:away|out|off)(?: (?:of|from) {WHOLE})?",
    ),
    "replacement": (
        r"dress (?P<owner>.+?) in (?P<target>.+)",
        r"substitute (?P<target>.+?) for (?P<source>.+)",
        r"(?:replace|swap|exchange|substitute|switch)(?: out)? (?P<source>.+?) (?:with|by|for|to) (?P<target>.+)",
        rf"(?:{_MAKE}|morph) (?P<source>.+?) (?:into|to|be|become) (?P<target>.+)",
        rf"{_MAKE} (?P<source>.+?) (?P<target>an? .+)",
    ),
    "background": (
        r"(?:\w+) (?P<source>(?:the |its )?(?:[\w-]+ )?(?:background|backdrop|scenery|setting|surroundings)"
        r"(?: (?:of|in) (?:this|the) \w+)?) to (?:portray|depict|show(?:case)?|illustrate|evoke|feature|display|"
        r"reflect|represent|be|become|resemble|look like) (?P<target>.+)",
        r"(?:\w+) (?:the |its )?(?:background|backdrop|scenery|setting)(?: scene| setting)? (?:in|into|to|with|by|"
        r"for|be|become|as|to be) (?P<target>.+)",
        r"(?:\w+) (?:the |its )?(?:background|backdrop) "
        r"(?P<target>(?!of|around|behind|in|on|from)(?:(?! (?:with|to|into) ).)+)",
        r"(?:replace|change|swap|turn|convert|transform) (?P<source>(?:the |its )?(?:[\w-]+ ){1,3}background)"
        r" (?:with|to|into|by|for) (?P<target>.+)",
        r"(?:use|add|give (?:it|the \w+)|set) "
        r"(?:an? [\w -]+ (?:with|on|against) (?=an? [\w-]+ (?:background|backdrop)))?"
        r"(?P<target>.+?) (?:as |for )?(?:the |its )?(?:background|backdrop)",
        rf"(?:put|place|move|set|take|bring|transport) (?:{WHOLE}|them|everything) (?:in|on|at|into|onto|to) (?"
        rf"P<target>.+)",
        r"(?:change|replace|swap|set|switch) the (?:sky|location|surroundings) (?:to|with|for|into) (?P<target>.+)",
        rf"{_MAKE} (?:the )?(?:background|backdrop) (?P<target>.+)",
        rf"{_MAKE} (?:it|this) (?:into )?(?:an? [\w -]+ (?:with|on|against) (?:an? )?|an? )"
        r"(?P<target>(?:(?! (?:with|on|against|in) ).)+?) (?:background|backdrop)",
        r"(?:\w+)(?: out)? (?P<source>(?:what's|what is|everything|the \w+) behind .+?) (?:in|into|to|with|by|for) (?"
        r"P<target>.+)",
        r"(?:\w+)(?: out)? (?P<source>the (?:surroundings?|environment|landscape|view|setting|scenery|location)) (?"
        r":(?:in|into|to|with|by|for|be) )?(?P<target>.+)",
        rf"(?:\w+) {WHOLE} (?P<prep>in front of|in|on|at|into|onto|to|inside|look like (?:\w+ ){{1,3}}in) (?"
        rf"P<target>.+)",
        r"(?:\w+) (?P<source>him|her|me|us|(?:the|this|that|my|his|her|our) .+?) (?:be |sit |stand |standing |"
        r"sitting )?(?P<prep>in front of|in|on|at|into|onto|to|inside|through) (?P<target>.+)",
        r"(?:blur|remove|erase|delete) (?P<gone>the background)",
    ),
    "color": (
        rf"(?:change|turn|make|set|switch|adjust|alter|shift) the (?:colou?r|hue|shade) of (?P<source>.+?) (?"
        rf"P<place>from {_COLOR} )?(?:(?:into|to|be) )?(?P<target>{_COLOR})",
        rf"(?:change|turn|make|set|switch) (?P<source>.+?)(?:['\u2019]s?)? colou?r (?P<place>from {_COLOR} )?(?:(?"
        rf":into|to|be) )?(?P<target>{_COLOR})",
        rf"give (?P<source>.+?) an? (?P<target>{_COLOR}) (?:colou?r|shade|tint|hue)",
        rf"(?:make|let|have) (?P<owner>.+?) wear (?P<target>{_COLOR})",
        rf"give (?P<owner>.+?) (?:an? )?(?P<target>{_COLOR}) (?P<part>\w+(?: \w+)?)",
        rf"\w+ {_THING} (?P<place>from {_COLOR} )?(?:(?:in|into|to|as|with|be|become|a) )?(?P<target>{_COLOR})(?: "
        rf"colou?r(?:ed)?| instead)?",
        rf"\w+ {_THING} (?:(?:in|into|to|be|a) )?(?P<target>{_COLOR}) (?:instead of|rather than) (?P<before>{COLOR})",
        r"(?:make|turn) (?P<source>.+) (?P<target>\w+er)",
    ),
    "material": (
        r"(?:change|turn|make|set|switch) the (?:material|texture|surface|pattern) of (?P<source>.+?) (?:into|to|be) "
        r"(?P<target>.+)",
        r"(?:change|turn|make|set|switch) (?P<source>.+?)['\u2019]s? (?:material|texture|surface|pattern) (?:into|to|"
        r"be) (?P<target>.+)",
        r"give (?P<source>.+?) an? (?P<target>[\w -]+?) (?:texture|finish|look|surface|pattern|material)",
        r"(?:cover|coat|wrap) (?P<source>.+?) (?:in|with) (?P<target>.+)",
        r"\w+ (?P<source>.+?) (?:(?:look )?(?:as if |like )?(?:it |they |he |she |it's |they're )?(?:was |were |is |"
        r"are )?(?:made|built|carved|knitted|crafted|woven|formed) )(?:out of|of|from|with) (?P<target>.+)",
        r"(?:make|build|render) (?P<source>.+?) (?:(?:look )?(?:out )?of|from|in) (?P<target>.+)",
        rf"{_MAKE} (?P<source>.+?) (?:into|to|be|look|look like) (?P<target>.+)",
        rf"(?:{_MAKE}|have|let) {_THING} (?P<target>{_MATERIAL})",
    ),
    "style": (
        rf"(?:\w+) {WHOLE} (?:(?:into|in|to|as|look like|like|using|with|look) )?(?:the style of )?(?P<target>.+?)(?"
        rf": (?:style|look|effect))?",
        rf"(?:change|switch|set) (?:the )?(?:style of {WHOLE}|(?:the )?\w+'s style) to (?P<target>.+?)(?: style)?",
        r"(?P<target>as (?:if|though) .+)",
        r"(?:convert|change|transform|turn|switch|render|redraw|apply|use|give|add|paint|draw)(?: (?:in|into|to|as))?"
        r" (?P<target>.+?)(?: (?:style|look|effect))?(?: (?:to|on) .+)?",
        r"(?:in )?the (?:style|manner) of (?P<target>.+)",
        rf"(?!(?:{_MAKE}|convert|apply|give|render|redraw)\b)(?P<target>.+?)(?: style)?",
    ),
    "tone": (
        rf"(?:give|lend) {WHOLE} (?P<target>.+)",
        rf"(?:make|turn|change|convert|shift|set|switch) {WHOLE} (?:(?:into|in|to|look like|look|feel|be) )?(?"
        rf"P<target>.+)",
        rf"(?:apply|use|add(?= (?:an?|the|some|more) )) (?P<target>(?:(?! (?:to|on|over) ).)+)"
        rf"(?: (?:to|on|over) {WHOLE})?",
        r"(?:change|set|switch|turn) the (?:weather|season|time of day|lighting|light|tone|mood|grade|atmosphere) (?"
        r":in|into|to) (?P<target>.+)",
        rf"(?P<verb>relight|colou?ri[sz]e|restore|enhance|grade|brighten|darken|light|tint|retouch) {WHOLE} (?"
        rf"P<place>with .+)",
        rf"(?P<verb>\w+) (?P<source>{WHOLE})(?: a (?:bit|little)| slightly| a lot)?",
        r"(?:make|turn) (?P<source>the (?:mood|atmosphere|lighting|light|sky|weather|colou?rs|contrast|tone|shadows|"
        r"highlights)) (?:more )?(?P<target>.+)",
        r"(?P<verb>increase|decrease|boost|reduce|lower|raise|lift|soften|adjust|fix|correct|improve|enhance|balance|"
        r"brighten|darken|remove)(?: up)? "
        r"(?P<source>the (?:(?! (?:to|into|by|so|about|a lot|a bit|a little|slightly)\b).)+)",
        r"let it (?P<target>snow|rain)",
        rf"(?!(?:{_MAKE}|{ADD}|{REMOVE}|give|fix|adjust)\b)(?P<target>.+)",
    ),
    "portrait": (
        rf"give (?:him|her|me|(?:the|my|this) \w+) (?P<target>{_COLOR}) "
        r"(?P<source>eyes|hair|lips|skin|teeth|eyebrows|beard|nails)",
        r"(?P<verb>smooth|brighten|whiten|soften|lighten|darken|enhance|reduce|slim|thin|clear|retouch|sharpen|plump|"
        r"shorten|lengthen|straighten|curl|trim|tan|define)(?: (?:out|up))? (?P<source>.+)",
        rf"{REMOVE} (?P<gone>.+)",
        r"(?:change|turn|make|set|switch) (?:the |his |her )?(?P<part>eye|hair|lip|skin|beard|eyes|lips|hair)(?"
        r":['\u2019]s?)? colou?r (?:(?:into|to|be) )?(?P<target>.+)",
        rf"(?:{_MAKE}|paint|dye|colou?r|tint|give) (?P<source>.+?) (?:(?:in|into|to|with|look|be|a) )?(?"
        rf"P<target>{_COLOR}|younger|older|bald|slimmer|smoother|\w+er)",
        r"(?:make|let|have|get) (?P<source>.+?) (?:look )?(?P<target>(?:more|less|\d+ years) \w+|\w+er)",
        rf"(?:{_MAKE}) (?P<source>.+?) (?:in)?to (?P<target>.+)",
        rf"(?:{ADD}|give (?:him|her|the \w+)|apply|put on) (?P<new>.+?)(?: (?P<place>{PLACE}))?",
        r"(?P<verb>fix|correct|shave|style|tone|freshen|refresh|beautify|conceal|rejuvenate)(?: out| up| off)? (?"
        r"P<source>.+)",
    ),
    "text": (  # edits that name no new text
        rf"{REMOVE} (?P<gone>.+?)(?: from {WHOLE})?",
        rf"{ADD} (?P<new>(?:the|an?|my|his|her) .+?) (?P<place>{PLACE})",
        r"replace (?P<source>.+?) (?:with|by) (?P<target>.+?)(?: (?P<place>(?:on|in|of) .+))?",
        r"(?P<verb>translate) (?P<source>.+?) (?P<place>(?:in)?to .+)",
        r"(?:make|turn|change) (?P<source>(?:the|all|his|her|my) .+?) (?:in |into |to )?"
        r"(?<!\bthe )(?<!\ba )(?P<state>[\w-]+)",
        r"(?P<verb>fix|correct|enlarge|shrink|move|rotate|blur) (?P<source>.+)",
    ),
    "motion": (
        r"(?:make|change|turn) (?P<source>(?:the |his |her |their )?(?:\w+'s )?(?:expression|pose|posture|gesture|"
        r"action)(?: of .+?)?) (?:from (?P<before>.+?) (?:in)?to |(?:in)?to )?(?P<target>.+)",
        rf"(?:make|have|let|get) (?P<source>.+?) (?:to )?{_VERB}(?: (?P<place>(?!to {MOVE}\b).+))?",
        r"(?:make|have|let|get|show) (?P<source>.+?) (?P<doing>\w+ing)(?: (?P<place>.+))?",
        r"(?:make|have|let|get) (?P<source>(?:the |his |her |a |an )?\w+(?: \w+)??) (?:to )?(?P<verb>\w+)(?: (?"
        r"P<place>.+))?",
        rf"(?P<source>(?:the|an?|his|her) (?:\w+ )?\w+) {_VERB}(?:e?s) (?P<place>.+)",
        rf"(?P<verb>\w+) (?P<source>.+?)(?: (?P<place>{PLACE}|up|down|left|right|back|forward|upward|downward|"
        rf"around|apart|slightly))?",
    ),
}
