"""The training of the tagger of roles: marked phrases, and the objects and targets of labelled instructions."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from safetensors.numpy import save_file
from scipy.sparse import csr_matrix

from benchmarks.data.captions import INSTRUCTIONS
from benchmarks.support.softmax import softmax
from v4e.language.clauses import clauses
from v4e.language.head import head
from v4e.language.roles import ROLES, SIZE, WEIGHTS, Tagger, features, tokens
from v4e.language.tasks import TASKS, normalize
from v4e.language.words import words_of

PHRASES = INSTRUCTIONS / "roles.txt"
FILLINGS = 8  # of a phrase
DECAY = 2e-5  # of the squared weights
OF_DEV = 8.0  # weight of a labelled instruction; a filling has 1
NONSENSE = ("bdfgklmnprstv", "aeiou", "bdgklmnprst", "aeiou", ("l", "n", "r", "t", "tle", "ck", "ng", "sh"))
BEFORE = words_of("the a an this that these those his her their its my our all both some another")


@dataclass(frozen=True)
class Marked:
    """The features of an imperative's tokens, and their roles."""

    rows: np.ndarray  # (tokens, features)
    roles: str
    weight: float


def phrases(words: dict[str, list[str]]) -> Iterator[Marked]:
    """Yields the phrases of roles.txt with their blanks filled by `words` and the file's own."""
    rng = Random(0)
    lines = PHRASES.read_text().splitlines()
    words = words | {name: found.split("|") for name, _, found in (line.partition(" = ") for line in lines) if found}
    # nouns that nobody knows, so that their neighbours decide
    words["thing"] = words["thing"] + ["".join(map(rng.choice, NONSENSE)) for _ in words["thing"]]
    for line in lines:
        task, _, marked = line.partition(": ")
        for phrase in marked.split(" ; ") if task in TASKS else ():
            for _ in range(FILLINGS):
                thing = rng.choice(words["thing"])  # of {same}, twice in a phrase
                text = re.sub(
                    r"\{(\w+)\}", lambda at, t=thing: t if at[1] == "same" else rng.choice(words[at[1]]), phrase
                )
                text = re.sub(r"\ba (?=[aeiou])", "an ", text)
                found = dict(re.findall(r"\[([STPD]) ([^\]]+)\]", text))
                yield from _marked(re.sub(r"\[[STPD] ([^\]]+)\]", r"\1", text), task, found, 1.0)


def examples(row: dict) -> Iterator[Marked]:
    """Yields the clauses of a labelled instruction whose words are those of its objects and targets."""
    parts = clauses(row["instruction"])
    things, targets = (
        [row[name]] if isinstance(row.get(name), str) else row.get(name) for name in ("object", "target")
    )
    if row["lang"] != "en" or not things or not len(parts.edits) == len(things) == len(row["tasks"]):
        return
    for part, task, thing, target in zip(parts.edits, row["tasks"], things, targets or [""] * len(things), strict=True):
        if task in TASKS:
            where = "P" if task == "addition" else "S"
            yield from _marked(parts.shown(part), task, {"T": target or "", where: thing or ""}, OF_DEV)


def _marked(text: str, task: str, found: dict[str, str], weight: float) -> Iterator[Marked]:
    """Yields the imperative of `text` with its roles, if it has the words of all of them."""
    text = normalize(text)
    parts = tokens(text)
    path = ["-"] * len(parts)
    for role, what in found.items():
        start = (text.lower().rfind if role in "TP" else text.lower().find)(what.lower())
        at = [i for i, part in enumerate(parts) if part.start() < start + len(what) and part.end() > start >= 0]
        if what and not at:
            return
        first = at[0] if at else 0
        if weight == OF_DEV and role in "ST" and first > 0 and parts[first - 1].group().lower() in BEFORE:
            first -= 1
        if role == "P" and weight == OF_DEV:  # the object of an addition lacks its preposition
            first = max((i + 1 for i in range(first) if path[i] == "T"), default=first)
        for i in range(first, at[-1] + 1) if at else ():
            path[i] = role if path[i] == "-" else path[i]
    if path:
        yield Marked(features(text, task, head().classes), "".join(path), weight)


def fit(marked: Sequence[Marked]) -> Tagger:
    """Fits the tagger: a softmax of each token by itself, and half the log of how often roles follow each other."""
    labels = np.array([ROLES.index(role) for one in marked for role in one.roles])
    weight = np.repeat([one.weight for one in marked], [len(one.roles) for one in marked]).astype(np.float32)
    rows = np.concatenate([one.rows for one in marked])
    ends = np.arange(0, rows.size + 1, rows.shape[1])
    x = csr_matrix((np.ones(rows.size, np.float32), rows.ravel(), ends), shape=(len(rows), SIZE))
    first = np.zeros((SIZE + 1, len(ROLES)))
    best = softmax(x, np.eye(len(ROLES), dtype=np.float32)[labels], weight, first, DECAY, 60)
    pairs = np.ones((len(ROLES), len(ROLES)))
    for one in marked:
        path = [ROLES.index(role) for role in one.roles]
        np.add.at(pairs, (path[:-1], path[1:]), one.weight)
    found = Tagger.__new__(Tagger)
    found.weights, found.bias = best[:-1], best[-1]
    found.pairs = (np.log(pairs / pairs.sum(1, keepdims=True) * pairs.sum() / pairs.sum(0)) / 2).astype(np.float32)
    return found


def write(found: Tagger) -> None:
    """Writes the weights that are part of the package."""
    save_file({"weights": found.weights.astype(np.float16), "bias": found.bias, "pairs": found.pairs}, WEIGHTS)
