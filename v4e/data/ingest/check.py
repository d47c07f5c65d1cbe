"""The image stage: decodes, gates and hashes chosen rows, and puts those that pass aside with their images."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.core import url_to_fs
from PIL import Image

from v4e.config import Ingest
from v4e.data.ingest.candidates import Cell
from v4e.data.ingest.decide import decide
from v4e.data.ingest.dedupe import perceptual_hash
from v4e.data.ingest.gates import bad_change, bad_size, same_frame
from v4e.data.ingest.scan import ruled
from v4e.data.quality import BadTriplet, decode_image
from v4e.data.sources import RawTriplet
from v4e.data.sources.files import CorpusFile
from v4e.data.sources.formats import CORPORA
from v4e.data.sources.read import PairPlace, triplets
from v4e.data.write import IMAGE, SCHEMA, rgb_png
from v4e.files.uri import exists, join, open_atomic

CHUNK = 64  # candidates of one file that a task checks
COLUMNS = pa.schema(  # of the triplets that ingest writes: OmniEdit's, and where each one comes from
    [
        *SCHEMA,
        ("corpus", pa.string()),
        ("corpus_id", pa.string()),
        ("corpus_task", pa.string()),  # its own label
        ("rules_task", pa.string()),
        ("agreement", pa.string()),  # one of v4e.data.ingest.decide.AGREEMENTS
        ("quality", pa.float64()),  # its rank within its corpus and task came from this
        ("source_hash", pa.uint64()),
        ("edit_hash", pa.uint64()),
    ]
)
EXTRAS = pa.schema([("mask_img", IMAGE), ("rejected_img", IMAGE), ("turns", pa.list_(pa.string()))])
OF_ROLE = {"mask": "mask_img", "rejected": "rejected_img", "turns": "turns"}  # role of ingest.columns to its column
FOUND = ("id", "corpus", "task", "reason", "file", "row", "pair", "source_hash", "edit_hash")
ASIDE = pa.schema(
    [
        ("id", pa.string()),
        ("reason", pa.string()),  # why it is rejected; empty where it passes
        ("file", pa.int64()),
        ("row", pa.int64()),
        ("pair", pa.int64()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class CandidateItem:
    """A candidate as the label stage left it."""

    place: PairPlace
    task: str
    quality: float


@dataclass(frozen=True, kw_only=True)
class CheckChunk:
    """Candidates of one file, in order: the work of one Ray task."""

    file: CorpusFile
    items: tuple[CandidateItem, ...]
    folder: str  # where the result goes

    @property
    def uri(self) -> str:
        """The URI of the result: equal work has an equal name."""
        name = repr((self.file.uri, self.items)).encode()
        return join(self.folder, f"{hashlib.sha256(name).hexdigest()[:32]}.parquet")


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The result of checking one candidate."""

    id: str  # corpus/id
    cell: Cell
    reason: str  # why it is rejected; empty where it passes
    row: tuple[int, int]  # file, row: the pairs of one row are one edit in its two directions
    pair: int
    source_hash: int
    edit_hash: int
    uri: str  # where it was put aside
    at: int  # row group there


def chunks_of(items: Sequence[tuple[CorpusFile, CandidateItem]], folder: str) -> list[CheckChunk]:
    """Cuts `items` into chunks by file and place, so that images are read in their order in the file."""
    ordered = sorted(items, key=lambda item: (item[0].number, item[1].place))
    chunks = []
    for _, same in groupby(ordered, key=lambda item: item[0].number):
        members = list(same)
        for start in range(0, len(members), CHUNK):
            cut = members[start : start + CHUNK]
            chunks.append(CheckChunk(file=cut[0][0], items=tuple(item for _, item in cut), folder=folder))
    return chunks


def check_chunk(ingest: Ingest, max_pixels: int, chunk: CheckChunk) -> None:
    """Checks the candidates of `chunk` and writes them, one row group each; does nothing if that was done before."""
    if exists(chunk.uri):
        return
    wanted = {item.place: item for item in chunk.items}
    extras = [EXTRAS.field(name) for role, name in OF_ROLE.items() if role in ingest.mapping]
    schema = pa.schema([*COLUMNS, *extras, *ASIDE])
    with open_atomic(chunk.uri) as file, pq.ParquetWriter(file, schema) as writer:
        for place, row in _rows(chunk, ingest, max_pixels):
            item = wanted.pop(place)
            row |= {"file": chunk.file.number, "row": place[0], "pair": place[1]}
            row |= {"corpus": chunk.file.corpus, "task": item.task, "quality": item.quality}
            writer.write_table(pa.Table.from_pylist([row], schema=schema))


def read_checked(chunk: CheckChunk) -> list[Checked]:
    """Reads the results of a chunk's candidates, without their images."""
    fs, path = url_to_fs(chunk.uri)
    with fs.open(path) as file:
        rows = pq.read_table(file, columns=list(FOUND)).to_pylist()
    return [
        Checked(
            id=row["id"],
            cell=(row["corpus"], row["task"]),
            reason=row["reason"],
            row=(row["file"], row["row"]),
            pair=row["pair"],
            source_hash=row["source_hash"] or 0,
            edit_hash=row["edit_hash"] or 0,
            uri=chunk.uri,
            at=at,
        )
        for at, row in enumerate(rows)
    ]


def _rows(chunk: CheckChunk, ingest: Ingest, max_pixels: int) -> Iterator[tuple[PairPlace, dict]]:
    """Yields a row for every candidate, even if the file is damaged."""
    left = {item.place: item for item in chunk.items}
    reason = "no such row"
    try:
        for place, raw in triplets(chunk.file, list(left)):
            yield place, check(raw, left.pop(place).task, ingest, max_pixels)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(f"cannot be read ({type(error).__name__}: {error})".split())[:300]
    for place in left:
        yield place, {"id": f"{chunk.file.corpus}/{chunk.file.stem}:{place[0]}", "reason": reason}


def check(raw: RawTriplet, task: str, ingest: Ingest, max_pixels: int) -> dict:
    """Returns a row that is put aside, except for its place; a rejected one has no images.

    Bytes are kept unchanged, except for an edit of another size than its source: it is resized and stored as PNG.
    """
    label = CORPORA[raw.corpus].tasks(raw.task, raw.id)
    rules_task, sure = ruled(raw.instruction)
    row = {
        "id": f"{raw.corpus}/{raw.id}",
        "omni_edit_id": f"{raw.corpus}/{raw.id}",
        "edited_prompt_list": [raw.instruction],
        "corpus_id": raw.id,
        "corpus_task": raw.task,
        "rules_task": rules_task,
        "agreement": decide(label, rules_task, sure, ingest).agreement,
    }
    try:
        source = decode_image(raw.source, "source", max_pixels, raw.source_instead)
        edit = decode_image(raw.edit, "edit", max_pixels, raw.edit_instead)
        edit_bytes = raw.edit
        for name, image in (("source", source), ("edit", edit)):
            if reason := bad_size(*image.size, ingest):
                raise BadTriplet(f"{name}: {image.width} x {image.height}: {reason}")
        if source.size != edit.size:
            if not same_frame(source, edit):
                raise BadTriplet("mismatched sizes: source {} x {}, edit {} x {}".format(*source.size, *edit.size))
            edit = edit.resize(source.size, Image.Resampling.LANCZOS)
            edit_bytes = rgb_png(edit)
        if reason := bad_change(source, edit, task, ingest):
            raise BadTriplet(reason)
    except BadTriplet as bad:
        return row | {"reason": str(bad)}
    return row | {
        "reason": "",
        "src_img": {"bytes": raw.source, "path": None},
        "edited_img": {"bytes": edit_bytes, "path": None},
        "width": source.width,
        "height": source.height,
        "mask_img": _kept(raw.mask, max_pixels),
        "rejected_img": _kept(raw.rejected, max_pixels),
        "turns": list(raw.turns) or None,
        "source_hash": perceptual_hash(source),
        "edit_hash": perceptual_hash(edit),
    }


def _kept(data: bytes | None, max_pixels: int) -> dict | None:
    """An image that goes along with the pair; None where there is none that can be decoded."""
    try:
        decode_image(data, "", max_pixels)
    except BadTriplet:
        return None
    return {"bytes": data, "path": None}
