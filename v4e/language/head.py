"""A linear head over hashed words, word pairs, letters and word classes: the task of one clause, in microseconds.

`python -m benchmarks.data.reader make=1` makes its weights again.
"""

import json
import re
import zlib
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise, product
from pathlib import Path

import numpy as np
from safetensors import safe_open

from v4e.language.clauses import HIDDEN, asks
from v4e.language.words import FUNCTION

WEIGHTS = Path(__file__).with_name("head.safetensors")
SIZE = 1 << 15  # rows of the weights
SCALE = 8.0  # length of a clause's feature vector
NOTHING = "nothing"  # the last label: a clause that asks for no edit
LONGEST = 60  # words that are read of a clause
_TOKEN = re.compile(
    r"[\ue000-\uf8ff]|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+(?:['\u2019-][^\W_]+)*|->|=>|\u2192"
)
_SIDE = r"(?:very |far )?(?:left|right|top|bottom|middle|center|centre|upper|lower|back|front|foreground)"
_PLACE = re.compile(
    rf"\b(?:on|in|at|to|near|of) (?:the )?{_SIDE}(?:[ -]{_SIDE})*(?: (?:side|part|hand side|corner|half|area))?(?: of "
    r"(?:the|a|an|this|his|her|its) (?:\w+ )??\w+(?=$| (?:into|to|with|in|a|an|be|by)\b)| of the \w+)?"
)
_SUFFIX = re.compile(r"(?<=\w{3})(?:ing|ed|es|s|er)$")


class Head:
    """Weights, word classes and the threshold above which a label is sure."""

    def __init__(self, path: Path = WEIGHTS):
        with safe_open(path, "numpy") as file:
            self.weights = file.get_tensor("weights").astype(np.float32)  # (SIZE, labels)
            self.bias = file.get_tensor("bias")
            meta = file.metadata()
        self.labels: tuple[str, ...] = tuple(json.loads(meta["labels"]))
        self.classes: dict[str, list[str]] = json.loads(meta["classes"])
        self.sure = float(meta["sure"])

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Returns the probability of each label for each clause, (texts, labels)."""
        found = np.empty((len(texts), len(self.labels)), np.float32)
        for at, text in enumerate(texts):
            rows, values = features(text, self.classes)
            found[at] = values @ self.weights[rows] + self.bias
        found = np.exp(found - found.max(1, keepdims=True))
        return found / found.sum(1, keepdims=True)


@lru_cache(1)
def head() -> Head:
    """Returns the head that is part of the package, read once."""
    return Head()


def features(text: str, classes: dict[str, list[str]]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows of a clause's features and their values, of length SCALE together."""
    words = [_word(token) for token in _TOKEN.findall(_PLACE.sub(" @place ", text))[:LONGEST]]
    stems = [_SUFFIX.sub("", word) for word in words]
    kinds = [classes.get(w) or classes.get(w.removesuffix("s")) or ["_" if len(w) > 4 else w] for w in words]
    names = [f"w {word}" for word in words] + [f"s {stem}" for stem in stems]
    names += [f"b {a} {b}" for a, b in zip(["^", *stems], [*stems, "$"], strict=True)]
    names += [f"t {a} {b} {c}" for a, b, c in zip(stems, stems[1:], stems[2:], strict=False)]
    names += [f"c {part}" for word in words if len(word) > 3 for part in _letters(f"<{word}>")]
    if stems:
        first, last, long = stems[0], stems[-1], [stem for stem in stems if len(stem) > 2 and stem != "the"]
        names += [
            f"asks {asks(text)}",
            f"again {len(set(long)) < len(long)}",
        ]
        names += [f"f {first}", f"l {last}", f"fl {first} {last}", *(f"kl {kind} {first}" for kind in kinds[-1])]
        names += [f"f2 {first} {stem}" for stem in stems[1:]]
        names += [f"k {kind}" for found in kinds for kind in found]
        names += [f"kf {first} {kind}" for found in kinds for kind in found]
        names += [f"kb {a} {b}" for pair in pairwise(kinds) for a, b in product(*pair)]
        triples = zip(kinds, kinds[1:], kinds[2:], strict=False)
        names += [f"kt {a} {b} {c}" for triple in triples for a, b, c in product(*triple)]
    counts: dict[int, int] = {}
    for name in names:
        row = zlib.crc32(name.encode()) % SIZE
        counts[row] = counts.get(row, 0) + 1
    values = np.minimum(np.fromiter(counts.values(), np.float32, len(counts)), 3.0)
    return np.fromiter(counts, np.int64, len(counts)), values * (SCALE / max(1e-9, float(np.linalg.norm(values))))


def _word(token: str) -> str:
    """Returns a token's features' name: a quoted text and words in capitals are what they are, whatever they say."""
    if HIDDEN <= ord(token[0]) < 0xF900:
        return "<q>"
    if token.isupper() and len(token) > 2 and token.lower() not in FUNCTION:
        return "<caps>"
    return token.lower().removesuffix("'s").removesuffix("\u2019s")


def _letters(word: str) -> list[str]:
    return [word[at : at + n] for n in (3, 4, 5) for at in range(len(word) - n + 1)]
