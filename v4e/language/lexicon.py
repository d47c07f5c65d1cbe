"""A vocabulary: regular expressions for the things an instruction names, in lower case."""


def any_of(*lines: str) -> str:
    """Returns one group of the alternatives in `lines`, longest first.

    ``_`` stands for a blank or hyphen, ``*`` for any end of a word.
    """
    found = sorted(set(" ".join(lines).split()), key=lambda word: (-len(word), word))
    return "(?:" + "|".join(word.replace("*", r"\w*").replace("_", "[ -]") for word in found) + ")"


MOVE = any_of(
    "raise lift lower wave tilt rotate spin bend stretch extend sit stand jump run walk smile frown laugh cry "
    "wink blink open close shut pose move slide shift push pull drag point nod kick dance clap lean crouch kneel "
    "fly swim drop flip swing sleep yawn hug shake cross crawl climb lie roll bow squat hop ride drive throw "
    "catch hold reach touch pick carry drink eat bite read sing play shout kiss float dive surf fall twist rest "
    "spread land pounce howl stare look face_away face_the face_left face_right turn_around turn_his turn_her "
    "turn_its turn_their turn_left turn_right turn_to follow step talk hang tie pour splash balance rear give_a "
    "give_the grin cheer march gallop glance gaze"
)

# verbs that begin a request, and names of the whole picture
WHOLE = (
    r"(?:it|everything|(?:this|that)(?! (?!into|to|in|look|as|like|more|an?|from|by|using|with|feel|be)\w)|(?:the |"
    r"this |my |that )?(?:(?:whole|entire|old|faded|complete) )*(?:image|picture|photo|photograph|pic|scene|shot|"
    r"view|frame|drawing|painting|thing|selfie|landscape))"
)
ADD = (
    r"(?:add|put|place|insert|draw|include|introduce|create|hang|stick|superimpose|attach|throw in|pop|drop in|mount|"
    r"overlay|decorate|equip|fill|plant|sprinkle|scatter|append|install|position|rest|lay|arrange|park|seat|sketch in|"
    r"paint in|bring in|compose)"
)
REMOVE = (
    r"(?:remove|delete|erase|get rid of|take (?:away|out|off)|eliminate|clear|wipe|clean(?: up| off| away)?|crop out|"
    r"edit out|photoshop out|cut out|lose|hide|vanish|strip|do away with|throw (?:out|away)|discard|exclude|omit|"
    r"ditch|scrap|banish|subtract|wash off|dispose of|leave out|rid|paint out|peel off|pull out|pluck|take)"
)
