"""The items of a benchmark, where their images lie, and the questions about them."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from PIL import Image

from v4e.files.pictures import encoded


@dataclass(frozen=True, kw_only=True)
class SuiteItem:
    """One edit that a benchmark asks for."""

    key: str  # the benchmark's own
    group: str  # GEdit's task_type, ImgEdit's edit_type
    instruction: str
    source: str  # path of the source image that the judge sees
    edited: str  # path of the edit, in the official layout below the model's folder
    language: str = "en"
    intersection: bool = False  # GEdit's Intersection_exist
    facts: Mapping[str, str] = field(default_factory=dict, hash=False)  # what else its questions need
    kinds: tuple[str, ...] = ()  # its questions, where they are not all of its suite's
    axes: tuple[str, ...] = ()  # its figures, where they are not all of its suite's


@dataclass(frozen=True, kw_only=True)
class Suite:
    """One benchmark as the user's copy has it."""

    name: str
    items: tuple[SuiteItem, ...]  # in the copy's order
    groups: tuple[str, ...]  # in the official order
    hashes: dict[str, str]  # file to sha256
    whole: bool  # the items are those of the official set, all of them
    notes: tuple[str, ...] = ()  # what is not as the official set
    lacking: Mapping[str, str] = field(default_factory=dict)  # the same, of one language

    @property
    def all_notes(self) -> tuple[str, ...]:
        return (*self.lacking.values(), *self.notes)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An encoded image as it is sent."""

    data: bytes
    kind: str  # jpeg or png: what the data URI says


@dataclass(frozen=True, kw_only=True)
class Question:
    """One call of the judge."""

    text: str
    pictures: tuple[Picture, ...]
    images_first: bool = False
    max_tokens: int = 0  # 0 = as many as the judge likes
    seed: int | None = None  # of the first try; None = none is sent
    temperature: float | None = None
    again: int = 0  # times that the same was asked before, to hear the judge's own noise
    reply_tokens: int = 80  # of a usual reply, for the estimate: two scores and 20 words

    @property
    def digest(self) -> str:
        """Returns a digest of all that decides the reply, beside the judge."""
        settings = f"{self.images_first}/{self.max_tokens}/{self.seed}/{self.temperature}"
        settings += f"/{self.again}" if self.again else ""
        total = hashlib.sha256(f"{settings}\0{self.text}\0".encode())
        for picture in self.pictures:
            total.update(f"{picture.kind}/{len(picture.data)}\0".encode() + picture.data)
        return total.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Reply:
    """The judge's answer to one question."""

    text: str
    tokens_in: int = 0
    tokens_out: int = 0
    refusal: str = ""  # why there is no text: a content policy, too long a request
    doubtful: bool = False  # the refusal may be of every request, not of this one
    lost: str = ""  # why no reply came, though others may: a server's error, a time that ran out
    cut: bool = False  # it ended at the longest length that was allowed
    model: str = ""  # as the server calls what answered
    fingerprint: str = ""  # of what answered, where the server tells


Ask = Callable[[Sequence[Question], int], list[Reply]]  # questions, number of the try -> their replies, in order


@dataclass(frozen=True, kw_only=True)
class Rubric:
    """The rules by which one suite is judged: the questions about an item, and how to read their replies."""

    name: str  # official, given, own, editscore
    kinds: tuple[str, ...]  # names of an item's questions, e.g. SC and PQ
    build: Callable[[SuiteItem, str], Question]  # item, kind -> question; raises OSError where an image cannot be read
    read: Callable[
        [str, SuiteItem, str], list[float] | None
    ]  # reply, item, kind -> scores; None where it cannot be read
    hashes: dict[str, str]  # prompt to sha256


def open_image(path: str) -> Image.Image:
    """The image, decoded.

    Raises:
        OSError: there is none, or it is damaged.
    """
    image = Image.open(path)
    try:
        image.load()
    except (SyntaxError, ValueError, Image.DecompressionBombError) as error:  # what damaged files raise beside OSError
        raise OSError(f"{path}: {error}") from error
    return image


def encode(image: Image.Image, kind: str) -> Picture:
    """`image` as JPEG of Pillow's default quality, or as PNG."""
    return Picture(data=encoded(image.convert("RGB"), kind), kind=kind)


def read_objects(file: Path, option: str, fields: Sequence[str]) -> dict[str, dict]:
    """A JSON file of the form ``{key: {field: ...}}``.

    Raises:
        ValueError: it has another form, or an entry lacks one of `fields`; names the file and the option that named it.
    """
    expected = f"expected a JSON object of {{key: {{{', '.join(fields)}}}}}"
    try:
        found = json.loads(file.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{option}: {file} is no JSON ({error}); {expected}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{option}: {file} holds a {type(found).__name__}; {expected}")
    for key, entry in found.items():
        if not isinstance(entry, dict) or not set(fields) <= set(entry):
            raise ValueError(f"{option}: {file}, entry {key}: {expected}, got {str(entry)[:80]}")
    return found


def safe(name: str, bench: str = "ImgEdit-Bench") -> str:
    """`name` as a relative path.

    Raises:
        ValueError: it leads out of its folder.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or name in ("", ".") or "\0" in name:
        raise ValueError(f"{bench} names a file {name!r}, which leads out of its folder: this is not the published set")
    return name


def sha256(path: str | Path) -> str:
    """Returns the hash of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def first_of_each(items: Sequence[SuiteItem], limit: int) -> tuple[SuiteItem, ...]:
    """The first `limit` items of each group and language; all with 0."""
    if not limit:
        return tuple(items)
    seen: dict[tuple[str, str], int] = {}
    kept = []
    for item in items:
        at = (item.group, item.language)
        seen[at] = seen.get(at, 0) + 1
        if seen[at] <= limit:
            kept.append(item)
    return tuple(kept)
