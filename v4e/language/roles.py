"""Marks the words of an imperative by their role: what is edited, what it becomes, where, and what it does.

A linear model over hashed words and their neighbours, given the task; the best path over pairs of roles is taken.
`python -m benchmarks.data.reader make=1` makes its weights again.
"""

import re
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from v4e.language.head import head
from v4e.language.words import QUOTED, words_of

WEIGHTS = Path(__file__).with_name("roles.safetensors")
SIZE = 1 << 16  # rows of the weights
ROLES = "-STPD"  # none, source, target, place, what a source does
_TOKEN = re.compile(rf"(?:{QUOTED.pattern})|[^\W_]+(?:['\u2019-][^\W_]+)*|[^\w\s]")
_JOINTS = words_of(
    "to into with by for from as in on at of out onto like be become look wear have than using so instead above "
    "below under behind near beside over against around next"
)


def tokens(text: str) -> list[re.Match[str]]:
    """Returns the words, marks and quoted texts of `text`, in order."""
    return list(_TOKEN.finditer(text))


def features(text: str, task: str, classes: dict[str, list[str]]) -> np.ndarray:
    """Returns the rows of the features of each token, (tokens, features)."""
    low = ["<q>" if QUOTED.fullmatch(found.group()) else found.group().lower() for found in tokens(text)]
    kinds = [(classes.get(w) or classes.get(w.removesuffix("s")) or [""])[0] for w in low]
    joints = [word if word in _JOINTS else "" for word in low]
    count, first = len(low), low[0] if low else ""
    word = ["^", "^", *low, "$", "$"]
    kind = ["^", *kinds, "$"]
    rows = []
    for i in range(count):
        before, last, this, then, after = word[i : i + 5]
        left = next((at for at in range(i - 1, -1, -1) if joints[at]), -1)
        joint = joints[left] if left >= 0 else "^"
        right = next(filter(None, joints[i + 1 :]), "$")
        place = f"{min(i, 3)}{i == count - 1}"
        names = [
            *(f"w {this}", f"e {this[-3:]}", f"k {kind[i + 1]}", f"p {last}", f"n {then}", f"pp {before} {last}"),
            *(f"nn {then} {after}", f"pk {kind[i]}", f"nk {kind[i + 2]}", f"pw {last} {this}", f"wn {this} {then}"),
            *(f"l {joint}", f"r {right}", f"lr {joint} {right}", f"ld {joint} {min(i - left, 3)}", f"a {place}"),
            *(f"v {first}", f"vl {first} {joint}", f"va {first} {place}", f"vr {first} {right}", f"vw {first} {this}"),
            *(f"lk {joint} {kind[i + 1]}", f"rk {right} {kind[i + 1]}", f"kkk {kind[i : i + 3]}"),
        ]
        names += [f"{task} {name}" for name in names if name[0] in "wklranv"]
        rows.append([zlib.crc32(name.encode()) % SIZE for name in names])
    return np.array(rows, np.int64).reshape(count, -1 if rows else 0)


class Tagger:
    """The weights of each feature and role, and the gain of each pair of roles."""

    def __init__(self, path: Path = WEIGHTS):
        found = load_file(path)
        self.weights = found["weights"].astype(np.float32)  # (SIZE, roles)
        self.bias, self.pairs = found["bias"], found["pairs"]

    def path(self, rows: np.ndarray) -> str:
        """Returns the best role of each token, one letter each, by Viterbi."""
        gains = self.weights[rows].sum(1) + self.bias
        best, back = gains[0], []
        for gain in gains[1:]:
            each = best[:, None] + self.pairs + gain
            back.append(each.argmax(0))
            best = each.max(0)
        found = [int(best.argmax())]
        for step in reversed(back):
            found.append(int(step[found[-1]]))
        return "".join(ROLES[at] for at in reversed(found))


@lru_cache(1)
def tagger() -> Tagger:
    """Returns the tagger that is part of the package, read once."""
    return Tagger()


@lru_cache(1 << 12)
def roles(text: str, task: str) -> dict[str, tuple[int, int]]:
    """Returns the place in `text` of each role that it has: the longest run of its words."""
    found, rows = tokens(text), features(text, task, head().classes)
    path = tagger().path(rows) if len(rows) else ""
    runs = {role: max(re.finditer(f"{role}+", path), key=lambda run: len(run[0]), default=None) for role in ROLES[1:]}
    return {role: (found[run.start()].start(), found[run.end() - 1].end()) for role, run in runs.items() if run}
