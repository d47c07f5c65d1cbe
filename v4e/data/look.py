"""A look at data of unknown form: what its files hold, how they would be read, and some pairs of pictures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.core import url_to_fs
from PIL import Image

from v4e.data.quality import BadTriplet, decode_image
from v4e.data.sources import RawTriplet
from v4e.data.sources.columns import missing, suggested
from v4e.data.sources.files import CorpusFile
from v4e.data.sources.formats import CORPORA, OWN
from v4e.data.sources.listing import BadRow, count_rows, listed, listings
from v4e.data.sources.read import triplets
from v4e.files.pictures import data_uri, webp

SIDE = 256  # pixels of a shown picture's longer side
FIX = "name a file, a folder or a glob"
TEMPLATE = Path(__file__).with_name("look.html.j2")


@dataclass(frozen=True, kw_only=True)
class LookedFile:
    """One file: its rows and columns, and the settings that read it."""

    uri: str
    rows: int = 0
    columns: Mapping[str, str] | None = None  # to its type, or an example of its values
    settings: str = ""  # how ingest reads it; empty where it does not
    reason: str = ""  # why it cannot be read
    file: CorpusFile | None = None


@dataclass(frozen=True, kw_only=True)
class LookedPair:
    """One row: pictures as data URIs, empty where there is none, and what is wrong with them."""

    id: str
    instruction: str
    task: str
    source: str
    edit: str
    problems: tuple[str, ...]


def look(place: str, mapping: Mapping[str, str]) -> list[LookedFile]:
    """Looks at the files at `place`; `mapping` is the user's, of roles to columns.

    Raises:
        ValueError: it cannot be opened, or there is nothing of a known form.
    """
    found = listings(place, FIX)
    if not found:
        raise ValueError(f"nothing at {place} is Parquet, JSON, CSV or tar: {FIX}")
    return [_file(uri, mapping) for uri in found]


def _file(uri: str, mapping: Mapping[str, str]) -> LookedFile:
    try:
        rows, columns = _columns(uri)
    except (pa.ArrowException, OSError, ValueError) as error:
        return LookedFile(uri=uri, reason=" ".join(str(error).split())[:300])
    corpus, columns_set, lost = _corpus(uri, list(columns), mapping)
    file = CorpusFile(number=0, corpus=corpus, uri=uri, size=0, stamp="", rows=rows, columns=tuple(columns_set.items()))
    named = f" ingest.columns={','.join(f'{role}:{name}' for role, name in columns_set.items())}" if columns_set else ""
    settings = "" if lost else f"ingest.{corpus}={uri.removeprefix('file://')}{named}"
    return LookedFile(uri=uri, rows=rows, columns=columns, settings=settings, reason=lost, file=None if lost else file)


def _columns(uri: str) -> tuple[int, dict[str, str]]:
    if uri.endswith(".parquet"):
        fs, path = url_to_fs(uri)
        with fs.open(path) as opened, pq.ParquetFile(opened) as parquet:
            return parquet.metadata.num_rows, {field.name: str(field.type) for field in parquet.schema_arrow}
    rows, _ = count_rows(uri)
    first = next((row for row in listed(uri) if not isinstance(row, BadRow)), {})
    return rows, {name: f"such as {str(value)[:60]!r}" for name, value in first.items()}


def _corpus(uri: str, names: Sequence[str], mapping: Mapping[str, str]) -> tuple[str, dict[str, str], str]:
    """The corpus whose columns these are, the user's own columns, and why neither fits."""
    parquet = uri.endswith(".parquet")
    for name, corpus in CORPORA.items():
        wanted = {
            *corpus.id,
            *(column for pair in corpus.pairs for column in (pair.source, pair.edit, pair.instruction)),
        }
        if not mapping and name != OWN and corpus.listing != parquet and wanted <= set(names):
            return name, {}, ""
    if mapping or not missing({}, names):
        return OWN, dict(mapping), missing(mapping, names)
    guess = dict(entry.split(":", 1) for entry in suggested(names).split(","))
    return OWN, guess, missing({}, names) if "COLUMN" in guess.values() else ""


def pairs(files: Sequence[LookedFile], most: int, max_pixels: int) -> list[LookedPair]:
    """Returns the first `most` pairs, in turn from each file that can be read."""
    found: list[LookedPair] = []
    each = [_pairs(one.file, most, max_pixels) for one in files if one.file]
    while each and len(found) < most:
        for one in list(each):
            pair = next(one, None)
            if pair is None:
                each.remove(one)
            elif len(found) < most:
                found.append(pair)
    return found


def _pairs(file: CorpusFile, most: int, max_pixels: int) -> Iterator[LookedPair]:
    try:
        for _, raw in triplets(file, [(row, 0) for row in range(min(most, file.rows))]):
            yield _pair(raw, max_pixels)
    except (pa.ArrowException, OSError, ValueError) as error:
        problem = " ".join(str(error).split())[:300]
        yield LookedPair(id=file.uri, instruction="", task="", source="", edit="", problems=(problem,))


def _pair(raw: RawTriplet, max_pixels: int) -> LookedPair:
    problems = [] if raw.instruction else ["empty instruction"]
    shown = []
    for name, data, instead in (("source", raw.source, raw.source_instead), ("edit", raw.edit, raw.edit_instead)):
        try:
            shown.append(_shown(decode_image(data, name, max_pixels, instead)))
        except BadTriplet as bad:
            shown.append("")
            problems.append(str(bad))
    return LookedPair(
        id=raw.id, instruction=raw.instruction, task=raw.task, source=shown[0], edit=shown[1], problems=tuple(problems)
    )


def _shown(image: Image.Image) -> str:
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return data_uri(webp(image), "webp")


def page(place: str, files: Sequence[LookedFile], found: Sequence[LookedPair]) -> str:
    """Returns a page of HTML that fetches nothing."""
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(TEMPLATE.read_text()).render(place=place, files=files, pairs=found)
