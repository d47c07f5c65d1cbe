"""The forms of words that captions use: those of the world, of the committed instructions and of the rules' verbs."""

import pytest

from v4e.language.inflection import definite, gerund, participle, plural, possessive, third_person, with_article
from v4e.language.words import stem

PARTICIPLES = (
    "brighten:brightened fix:fixed freshen:freshened grade:graded increase:increased lengthen:lengthened lower:lowered "
    "reduce:reduced relight:relighted retouch:retouched shave:shaved slim:slimmed smooth:smoothed translate:translated "
    "trim:trimmed whiten:whitened"
)
WITH_S = (
    "bend brighten close crawl dance dive drag drop give hang hold hug kick kneel lean lie lift look lower move open "
    "point put raise rear replace restore roll rotate run sharpen shift sit slide smile spread stand step throw tilt "
    "turn unfold wave write"
)


@pytest.mark.parametrize(("verb", "form"), [pair.split(":") for pair in PARTICIPLES.split()])
def test_participles(verb, form):
    assert participle(verb) == form


def test_third_persons():
    assert [third_person(verb) for verb in WITH_S.split()] == [f"{verb}s" for verb in WITH_S.split()]
    assert [third_person(verb) for verb in ("cross", "perch")] == ["crosses", "perches"]


def test_gerunds():
    assert [gerund(verb) for verb in ("land", "peek", "sit", "lie", "dance")] == [
        "landing", "peeking", "sitting", "lying", "dancing",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("phrase", "many"),
    [
        ("the red circle", False),
        ("the clouds above the house", True),
        ("the house under the clouds", False),
        ("the bus", False),
        ("the glass", False),
        ("both hands", True),
        ("the man and the dog", True),
        ("people", True),
    ],
)
def test_plurals_are_told_by_the_word_before_a_preposition(phrase, many):
    assert plural(phrase) == many


def test_articles_and_possessives():
    phrases = ("beach scene", "oil painting", "the sky", "a hat", "snow", "leaves", "his hat", "3 birds")
    assert [with_article(phrase) for phrase in phrases] == [
        "a beach scene", "an oil painting", "the sky", "a hat", "snow", "leaves", "his hat", "3 birds",
    ]  # fmt: skip
    phrases = ("red circle", "a hat", "it", "my dog", "their dog")
    assert [definite(phrase) for phrase in phrases] == [
        "the red circle", "the hat", "the object", "the dog", "their dog",
    ]  # fmt: skip
    assert [possessive(phrase) for phrase in ("the car", "the leaves", "the glass", "the dog's")] == [
        "the car's", "the leaves'", "the glass's", "the dog's",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "forms",
    [
        "cape capes",
        "cap caps capped capping",
        "pine pines",
        "pin pins pinned pinning",
        "plane planes",
        "plan plans planned",
        "stripe stripes striped",
        "strip strips stripped stripping",
        "white whiter whiten whitened whitening",
        "tiny",
        "tin tins",
        "baby babies",
        "bus buses",
        "write written writing",
        "kitten kittens",
        "kit kits",
        "hammer hammers",
        "ham",
        "lioness",
        "lion lions",
        "big bigger",
        "raise raises raised raising",
        "dark darker darken darkened darkness",
    ],
)
def test_forms_of_a_word_share_a_stem_that_other_words_lack(forms: str):
    assert len({stem(form) for form in forms.split()}) == 1
    others = {"cape", "cap", "pine", "pin", "plane", "plan", "stripe", "strip", "tiny", "tin", "kit", "ham", "lion"}
    assert stem(forms.split()[0]) not in {stem(other) for other in others - set(forms.split())}
