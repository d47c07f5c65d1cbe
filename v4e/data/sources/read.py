"""Rows of a corpus's file: only labels and scores, or the images of chosen rows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import pyarrow.parquet as pq
from fsspec.core import url_to_fs

from v4e.config.ingest import KEPT
from v4e.data.sources.columns import pick, top
from v4e.data.sources.files import CorpusFile
from v4e.data.sources.formats import CORPORA, OWN, Corpus, Scores
from v4e.data.sources.images import Found, image_of
from v4e.data.sources.listing import BadRow, listed, listed_image
from v4e.data.sources.texts import phrasing
from v4e.data.sources.triplets import READ_ROWS, READ_TEXTS, RawTriplet

PairPlace = tuple[int, int]  # row of a file, pair of the row


@dataclass(frozen=True, slots=True)
class Label:
    """The fields of an edit that are known without its images."""

    place: PairPlace
    id: str
    instruction: str  # phrasing 0
    label: str  # the corpus's own
    scores: Scores
    size: tuple[int, int] | None  # (width, height), pixels
    problem: str = ""  # why the row cannot be read


def label_groups(file: CorpusFile) -> Iterator[Iterator[Label]]:
    """Yields the edits of each row group, in order, without images. Each group must be read before the next.

    Raises:
        pyarrow.ArrowException, OSError: within a group if the file is damaged there; later groups can be read.
    """
    corpus = CORPORA[file.corpus]
    if not file.parquet:
        yield _labels(file, corpus, enumerate(listed(file.uri)))
        return
    wanted = {
        *corpus.id,
        corpus.within,
        corpus.label,
        *corpus.scores,
        *corpus.sizes,
        *(pair.instruction for pair in corpus.pairs),
    }
    fs, path = url_to_fs(file.uri)
    with fs.open(path) as opened, pq.ParquetFile(opened, pre_buffer=False, buffer_size=1 << 20) as parquet:
        columns = _columns(file, parquet, wanted)
        first = 0
        for group in range(parquet.num_row_groups):
            batches = parquet.iter_batches(READ_TEXTS, row_groups=[group], columns=columns)
            rows = (row for batch in batches for row in batch.to_pylist())
            yield _labels(file, corpus, enumerate(rows, first))
            first += parquet.metadata.row_group(group).num_rows


def triplets(file: CorpusFile, places: Sequence[PairPlace]) -> Iterator[tuple[PairPlace, RawTriplet]]:
    """Yields the edits at `places`, which rise, with their images; other row groups are not read.

    Raises:
        pyarrow.ArrowException, OSError: the file is damaged there.
    """
    corpus = CORPORA[file.corpus]
    wanted = {number: [index for _, index in same] for number, same in groupby(places, key=lambda place: place[0])}
    for number, row in _image_rows(file, corpus, wanted):
        for index in wanted[number]:
            pair = corpus.pairs[index]
            source, edit = (_image(file, corpus, row.get(name), name) for name in (pair.source, pair.edit))
            mask, rejected = (_image(file, corpus, row.get(name), name) for name in ("mask", "rejected"))
            yield (
                (number, index),
                RawTriplet(
                    id=_id(file, corpus, row, number) + pair.suffix,
                    instruction=_instruction(row.get(pair.instruction)),
                    task=_text(row.get(corpus.label)),
                    corpus=corpus.name,
                    source=source.data,
                    edit=edit.data,
                    source_instead=source.instead,
                    edit_instead=edit.instead,
                    mask=mask.data,
                    rejected=rejected.data,
                    turns=_turns(row.get("turns")),
                ),
            )


def _labels(file: CorpusFile, corpus: Corpus, rows: Iterable[tuple[int, Mapping[str, object]]]) -> Iterator[Label]:
    for number, row in ((number, _renamed(file, row)) for number, row in rows):
        row_id = _id(file, corpus, row, number)
        label = _text(row.get(corpus.label))
        scores = {name: _number(row.get(name)) for name in corpus.scores}
        sides = [_number(row.get(name)) for name in corpus.sizes]
        size = (int(sides[0]), int(sides[1])) if sides and sides[0] and sides[1] else None
        for index, pair in enumerate(corpus.pairs):
            text = _instruction(row.get(pair.instruction))
            problem = row.reason if isinstance(row, BadRow) else ""
            yield Label((number, index), row_id + pair.suffix, text, label, scores, size, problem)


def _image_rows(
    file: CorpusFile, corpus: Corpus, wanted: Mapping[int, list[int]]
) -> Iterator[tuple[int, Mapping[str, object]]]:
    if not file.parquet:
        last = max(wanted, default=-1)
        for number, row in enumerate(listed(file.uri)):
            if number in wanted:
                yield number, _renamed(file, row)
            if number >= last:
                return
        return
    sides = [name for pair in corpus.pairs for name in (pair.source, pair.edit, pair.instruction)]
    needed = {*corpus.id, corpus.within, corpus.label, *sides}
    fs, path = url_to_fs(file.uri)
    with fs.open(path) as opened, pq.ParquetFile(opened, pre_buffer=False, buffer_size=1 << 20) as parquet:
        columns = _columns(file, parquet, needed)
        first = 0
        for index in range(parquet.num_row_groups):
            count = parquet.metadata.row_group(index).num_rows
            here = [number for number in wanted if first <= number < first + count]
            number = first
            batches = parquet.iter_batches(READ_ROWS, row_groups=[index], columns=columns) if here else iter(())
            for batch in batches:
                for at in range(batch.num_rows):
                    if number + at in wanted:
                        yield number + at, _renamed(file, batch.slice(at, 1).to_pylist()[0])
                number += batch.num_rows
                if number > max(here):
                    break
            first += count


def _columns(file: CorpusFile, parquet: pq.ParquetFile, wanted: set[str]) -> list[str]:
    """The columns of a Parquet file that hold the `wanted` roles."""
    names, mapping = parquet.schema_arrow.names, dict(file.columns)
    roles = {*wanted, *(KEPT if file.corpus == OWN and "source" in wanted else ())}
    held = {top(part, names) for role in roles for part in mapping.get(role, role).split("+")}
    return [name for name in names if name in held]


def _renamed(file: CorpusFile, row: Mapping[str, object]) -> Mapping[str, object]:
    """The row with its columns under their roles' names."""
    if not file.columns or isinstance(row, BadRow):
        return row
    return {**row, **{role: pick(row, column) for role, column in file.columns}}


def _image(file: CorpusFile, corpus: Corpus, value: object, column: str) -> Found:
    if not file.parquet:
        return listed_image(file.uri, value, column)
    fs, path = url_to_fs(file.uri)
    return image_of(value, fs, path.rsplit("/", 1)[0])


def _id(file: CorpusFile, corpus: Corpus, row: Mapping[str, object], number: int) -> str:
    """Returns ``img_id-turn_index`` if the corpus names its rows, else ``file:row``."""
    if corpus.id:
        return "-".join(_text(row.get(name)) for name in corpus.id)
    return f"{file.stem}:{_text(row.get(corpus.within)) or number}"


def _instruction(value: object) -> str:
    return " ".join(phrasing(value).split())


def _turns(value: object) -> tuple[str, ...]:
    return tuple(text for one in value if (text := phrasing(one))) if isinstance(value, list) else ()


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and value == value else None
