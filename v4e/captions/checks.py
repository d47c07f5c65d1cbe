"""Checks that a proposed evolution caption must pass before a teacher may see it."""

import re
from collections.abc import Set
from itertools import pairwise

from v4e.captions.grammar import odd, pasted
from v4e.language.slots import slots
from v4e.language.tasks import TASKS, normalize
from v4e.language.words import (
    FUNCTION,
    NAMED,
    PLACES,
    QUOTED,
    REQUEST,
    content,
    stem,
    stems,
    verbatim,
    words,
    words_of,
)

LAST_LATIN = 0x24F  # code point
MAX_WORDS = 30  # before the closing clause
REFINEMENT = (  # the paper's second step, section 3.2
    "The video is high-resolution and high-quality, and the overall evolution is temporally coherent."
)

_GRADUAL = words_of("gradually slowly gently smoothly steadily progressively softly subtly")
# verbs that state the transition of a task; a caption needs a verb of its task
_VERBS: dict[str, str] = {
    "addition": "appear emerge materialize form grow fade come rise",
    "removal": "fade disappear vanish dissolve melt dissipate",
    "replacement": "turn transform morph change become shift",
    "background": "transform turn change become shift morph dissolve give fade",
    "color": "turn shift change become transition take transform fade",
    "material": "become turn change shift transform take transition",
    "text": "change turn become morph shift transform transition read translate",
    "motion": "raise lift lower move slide shift turn tilt rotate bend open close rise drop glide drift go "
    "come travel fall wave stretch extend smile turn become change break fade settle lean",
    "portrait": "smooth brighten turn become fade appear soften whiten change shift lighten darken gain",
    "style": "adopt turn transform become shift take morph change transition look",
    "tone": "shift become turn change transition take transform fade grow brighten darken warm cool adopt",
}
_AGAINST: dict[str, str] = {"addition": "away disappear vanish", "removal": "appear emerge"}
# words that carry no content of their own: free in every caption
_REQUEST = {stem(word) for word in REQUEST}
_NEUTRAL = words_of(
    "over time bit step in place across whole entire image picture photo scene person subject object sign "
    "text word letters texture material surface color hue shade style look tone grade mood atmosphere "
    "corner side part area edge background view side new itself completely fully again softly down up "
    "back away out smooth clear position around begin start pose posture gesture expression gaze "
    "himself herself themselves clothes",
)
_ADVERBS = {stem(word) for word in _GRADUAL}
_NAMED = {stem(word) for word in NAMED}
_PLACES = {stem(word) for word in PLACES}
_FREE = {stem(word) for word in FUNCTION | _NEUTRAL | _GRADUAL}
_SYNONYMS = tuple(
    frozenset(stem(word) for word in group.split())
    for group in (
        "raise lift rise up",
        "lower drop down fall",
        "move slide shift glide push drag travel",
        "smooth smoothly soften",
        "bright lighten brighten",
        "dark darken dim",
        "upper top",
        "bottom lower",
        "center centre middle centered center-align",
        "gray grey",
        "blond blonde",
        "striped stripes stripe",
        "metal metallic",
        "wood wooden",
        "nighttime night",
        "background backdrop behind",
        "three-dimensional 3d depth deep",
    )
)


def check_caption(caption: str, instruction: str, task: str, new_words: int = 0) -> list[str]:
    """Returns the names of the checks that `caption` fails for one atomic `instruction` of `task`.

    - ``short``: one sentence of 3 to 30 words before the closing clause.
    - ``gradual``: a gradual adverb, or "over time".
    - ``verb``: states the transition of its task, in the third person, and not the opposite.
    - ``kept``: the content words of the instruction, quoted texts and words in capitals byte for byte. One word in
      three may be lost, if it is no color, number, place, shape, material or item of a list. A related word that the
      instruction lacks will do ("distant" for "distance"). What follows ", making", "by giving" or "to match" is
      free, but for its colors, if the edit is told before.
    - ``invented``: a color, number, place, shape, material or quoted text that the instruction does not have.
    - ``drift``: more than ``new_words`` other content words that the instruction does not have.
    - ``direction``: the old state stands before the verb, the new state after it.
    - ``repeated``: a word twice in a row, or named more often than in the instruction.
    - ``language``: letters of another script than Latin, outside quotes: captions are English.
    - ``grammar``: the instruction's imperative, a bare verb or preposition where a noun belongs, or a plural with a
      singular verb.

    If the instruction is in another script, only its quoted texts are compared with the English caption.

    Raises:
        ValueError: ``task`` is not one of TASKS.
    """
    if task not in TASKS:
        raise ValueError(f"task is {task!r}: expected one of {', '.join(TASKS)}")
    core = open_part(caption)
    core_stems, own_stems, kind = stems(core), stems(instruction), _kind(instruction, task)
    tests = {
        "short": 3 <= len(core.split()) <= MAX_WORDS and "\n" not in core and ". " not in core,
        "gradual": bool(_GRADUAL & set(words(core))) or "over time" in core.lower(),
        "verb": _states(core_stems, stems(normalize(instruction)), kind) or _passive(core, normalize(instruction)),
        "kept": keeps(core, instruction),
        "invented": foreign(instruction) or _true_to(core, instruction, task),
        "drift": foreign(instruction) or len(_new(core_stems, own_stems, (task, kind))) <= new_words,
        "direction": _directed(core, instruction, task),
        "repeated": not _repeats(words(QUOTED.sub(" ", core)), own_stems),
        "language": not foreign(core),
        "grammar": not (pasted(core, normalize(instruction)) or odd(core)),
    }
    return [name for name, passed in tests.items() if not passed]


def states_what_stays(caption: str) -> bool:
    """True if a whole caption ends with a clause on what does not change."""
    closing = caption.replace(REFINEMENT, "")[len(open_part(caption)) :]
    return bool(re.search(r"\b(?:remains?|stays?|unchanged|still|steady|consistent|keeps?|same)\b", closing))


def foreign(text: str) -> bool:
    """True if there are letters of another script than Latin, outside quotes."""
    return any(letter.isalpha() and ord(letter) > LAST_LATIN for letter in QUOTED.sub(" ", text))


def reasons(failed: list[str], caption: str, instruction: str) -> str:
    """Returns the faults of a caption, in words that the language model can act on."""
    present = set(stems(caption))
    texts = [text for text in verbatim(normalize(instruction)) if text not in caption]
    lost = [word for word in words(QUOTED.sub(" ", normalize(instruction))) if word in _content_words(instruction)]
    missing = texts + [word for word in lost if not _covered(stem(word), present)]
    wanted = {
        "short": "it is one sentence of at most 30 words",
        "gradual": "it says that the change is gradual",
        "verb": "it states the change",
        "kept": f"it names {', '.join(missing)}" if missing else "it keeps the words of the instruction",
        "invented": "it names nothing that the instruction does not name",
        "drift": "it adds no words of its own",
        "direction": "what was there comes first, what will be there last",
        "repeated": "it names each thing once",
        "language": "it is in English",
        "grammar": "it tells what happens and gives no order",
    }
    return ", ".join(wanted[name] for name in failed)


def open_part(caption: str) -> str:
    """Returns a caption without its closing clause ("while ..."), refinement and final stop."""
    text = caption.replace(REFINEMENT, "").strip()
    quoted = [match.span() for match in QUOTED.finditer(text)]
    for joint in re.finditer(r",? (?:while|with all other|with everything else)\b", text):
        if not any(a < joint.start() < b for a, b in quoted):
            text = text[: joint.start()]
            break
    return text.rstrip(" .,;")


def refine(caption: str) -> str:
    """Appends the sentence on resolution, quality and coherence, step 2 of the paper's scheme."""
    return caption if caption.endswith(REFINEMENT) else f"{caption} {REFINEMENT}"


def _content_words(instruction: str) -> set[str]:
    kept = content(normalize(instruction))
    return {word for word in words(normalize(instruction)) if stem(word) in kept}


def _class(word_stem: str) -> set[str]:
    return {word_stem}.union(*(group for group in _SYNONYMS if word_stem in group))


def _covered(wanted: str, by: set[str], apart: Set[str] = frozenset()) -> bool:
    """True if `by` has a word, or one of its meaning or family; words of `apart` stand for themselves alone."""
    if _class(wanted) & by:
        return True
    return wanted not in _NAMED and _family(wanted) in map(_family, by - _NAMED - apart)


# what stems of one family differ in: distance and distant, music and musical, hair and hairstyle
_ENDING = re.compile(r"(?<=\w{5})(?:(?<=[ae]n)[ct]|ic(?:al)?|al|ous|ful)$|(?<=^hair)(?:styl|cut|do)$")


def _family(word_stem: str) -> str:
    return _ENDING.sub("", word_stem)


def _task_verbs(task: str) -> set[str]:
    return {stem(verb) for verb in _VERBS[task].split()}


def _kind(instruction: str, task: str) -> str:
    """Returns the task whose wording fits: addition or removal for edits of other tasks that add or remove a thing."""
    found = slots(instruction, task) if task in ("portrait", "text", "background") else None
    return {"appear": "addition", "fade away": "removal"}.get(found.verb, task) if found else task


def _states(core: list[str], instruction: list[str], task: str) -> bool:
    against = {stem(word) for word in _AGAINST.get(task, "").split()}
    free = task in ("motion", "portrait", "tone")  # the instruction's own verb will do
    verbs = _task_verbs(task) | ({word for word in instruction if word not in _REQUEST} if free else set())
    imperative = bool(core) and bool(instruction) and core[0] == instruction[0] and not free
    return bool(verbs & set(core)) and not against & set(core) and not imperative


def keeps(core: str, instruction: str, *, lists: bool = False) -> bool:
    """True if a caption has the words of an instruction, but for one in three; with `lists`, all words of a list."""
    present = set(stems(core))
    texts = verbatim(normalize(instruction))
    plain = QUOTED.sub(" ", normalize(instruction))
    if foreign(instruction):
        return all(text in core for text in texts)
    plain, means = _edit_and_means(_SAME.sub("", plain))
    wanted = content(re.sub(r"\b(an? [\w-]+) one\b", r"\1", plain.replace(" on top of ", " on ")))
    wanted |= content(means) & (_NAMED - _PLACES)
    lost = {word for word in wanted if not _covered(word, present, wanted)}
    spare = 0 if _EXCEPT.search(plain) or (lists and _LISTS.search(plain)) else len(wanted) // 3
    whole = all(any(_covered(word, present, wanted) for word in item) for item in _items(plain) if item)
    texts = texts[len(texts) > 1 and bool(_FROM_TO.match(plain)) :]  # the old text may be known by its place
    return all(text in core for text in texts) and whole and len(lost) <= spare and not lost & _NAMED


def _passive(core: str, instruction: str) -> bool:
    """True if the caption says that the instruction's verb is done: "the door is gradually painted"."""
    done = re.search(r"\b(?:is|are) (?:gradually|slowly|gently) (\w+)", core)
    return bool(done and instruction and stem(done[1]) == stem(instruction.split()[0].lower()))


def _items(plain: str) -> list[set[str]]:
    """Returns the content of each item of a list, without what comes before the first and after the others."""
    first, *others = _LISTS.split(plain)
    heads = [_WHERE.split(item.strip())[0] for item in others]
    return [content(item) for item in (_WHERE.split(first)[-1] if others else first, *heads)]


def _edit_and_means(plain: str) -> tuple[str, str]:
    """Cuts off how an edit is done, and what it brings about, unless nothing else tells what the edit is."""
    edit = _MEANS.sub("", plain)
    if _EMPTY.match(plain) and not _WHERE.search(edit):
        return plain, ""
    return edit, " ".join(_MEANS.findall(plain))


# what a caption may leave out: what does not change, and how the edit is done
_SAME = re.compile(r",(?: while)? (?:keeping|leaving|preserving|maintaining)\b.*", re.I)
_MEANS = re.compile(
    r"(?:,(?: while)?| by) (?:making|giving|creating|using|ensuring|highlighting|emphasi[sz]ing|enhancing)\b.*"
    r"| to match\b.*| ?\((?!(?:and|plus|with)\b)[^)]*\)",
    re.I,
)
_EMPTY = re.compile(  # such a verb alone tells no edit
    r"(?:change|alter|modify|edit|update|improve|enhance|transform|convert|turn|replace|swap|decorate|"
    r"adjust(?!.* to match\b)) ",
    re.I,
)
_WHERE = re.compile(
    r"\b(?:to|into|with|by|for|as|from|of|on|onto|in|at|over|under|near|behind|around|featuring) ", re.I
)
_FROM_TO = re.compile(r"(?:change|replace|turn|swap|edit) ", re.I)
_LISTS = re.compile(r", |\b(?:and|or)\b", re.I)  # a word of each item counts
_EXCEPT = re.compile(r"\b(?:except|but|not|without)\b", re.I)  # each word of such instructions counts


def _true_to(core: str, instruction: str, task: str) -> bool:
    """True if the caption invents nothing."""
    allowed = {*stems(instruction), stem(task)}  # a background change may say background
    named = {word for word in words(QUOTED.sub(" ", core.replace("over time", ""))) if word in NAMED}
    texts = (match.group()[1:-1] for match in QUOTED.finditer(core))
    return all(_covered(stem(word), allowed) for word in named) and all(text in instruction for text in texts)


def _new(core: list[str], instruction: list[str], kinds: tuple[str, str]) -> set[str]:
    free = _FREE.union(set(instruction), *(_task_verbs(kind) for kind in kinds))
    return {word for word in core if not _covered(word, free)}


def _directed(core: str, instruction: str, task: str) -> bool:
    """True if the source stands before the verb and the target after it, or if one of them is missing."""
    present = stems(core)
    before = re.search(r"\bfrom (.+?)(?= to | into |$)", core)
    if (
        before
        and not {"from", "instead", "rather"} & set(words(instruction))
        and re.sub(r"^(?:an?|the) ", "", before[1]).strip("'\"\u201c\u201d") not in instruction
    ):
        return False
    found = slots(instruction, task)
    if found is None or task not in ("replacement", "color", "material", "portrait", "background"):
        return True
    source, target = content(found.source), [s for s in stems(found.target) if s in content(found.target)]
    said = stems(instruction)
    fresh = [word for word in target if word not in source and said.count(word) < 2]
    if not fresh or any(word not in present for word in [*source, *fresh]):
        return True  # lost words are reported by "kept"
    verbs = [at for at, word in enumerate(present) if word in _task_verbs(task) or word in _ADVERBS]
    first = min(present.index(word) for word in fresh)
    last = max((present.index(word) for word in source), default=-1)
    return any(last < at < first for at in verbs)


def _repeats(core: list[str], instruction: list[str]) -> bool:
    named = [stem(word) for word in core if word in NAMED and word not in ("left", "right", "place")]
    doubled = any(a == b for a, b in pairwise(core))
    return doubled or any(named.count(word) > max(1, instruction.count(word)) for word in set(named))
