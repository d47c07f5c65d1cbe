"""The files of the corpora that a run names: found, opened and checked before anything is read."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.core import url_to_fs

from v4e.config import Ingest
from v4e.data.sources.columns import missing
from v4e.data.sources.find import find_files
from v4e.data.sources.formats import CORPORA, OWN, Corpus
from v4e.data.sources.listing import ENDINGS, TABLES, count_rows, listings
from v4e.faults import Fault

OPENERS = 16  # files opened at a time: a footer is a round trip to an object store


@dataclass(frozen=True, kw_only=True)
class CorpusFile:
    """One file of a corpus, or one folder of metadata of GPT-Image-Edit."""

    number: int  # in the order of corpora and URIs, whatever order they were found in
    corpus: str
    uri: str
    size: int  # bytes
    stamp: str  # changes when the file does, as far as its filesystem tells
    rows: int
    columns: tuple[tuple[str, str], ...] = ()  # role and column, where these differ

    @property
    def stem(self) -> str:
        """The name that begins the ids of rows without an id."""
        folder, name = self.uri.rsplit("/", 2)[-2:]
        if CORPORA[self.corpus].listing and (name.endswith(TABLES) or "." not in name):
            return folder
        return next((name.removesuffix(ending) for ending in ENDINGS if name.endswith(ending)), name)

    @property
    def parquet(self) -> bool:
        """True where it is Parquet, whose rows are read by columns."""
        return not CORPORA[self.corpus].listing or self.uri.endswith(".parquet")


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A file that is left out, with the reason."""

    corpus: str
    uri: str
    reason: str


def corpus_files(ingest: Ingest) -> tuple[list[CorpusFile], list[Unreadable]]:
    """Finds the files of the corpora that `ingest` names, sorted, and those that cannot be used.

    Raises:
        FileNotFoundError: a place of a corpus has no files.
        ValueError: no corpus is named, or none of a corpus's files can be read in its schema.
    """
    named = [corpus for name, corpus in CORPORA.items() if getattr(ingest, name)]
    if not named:
        keys = ", ".join(f"ingest.{name}" for name in CORPORA)
        raise ValueError(f"no corpus is named: set one of {keys}; v4e fixtures OUT writes small ones")
    files, unreadable = [], []
    for corpus in named:
        uris = sorted({uri for place in getattr(ingest, corpus.name) for uri in _uris(corpus, place)})
        with ThreadPoolExecutor(OPENERS) as threads:
            found = list(threads.map(lambda uri, corpus=corpus: _open(corpus, uri, ingest), uris))
        good = [file for file in found if isinstance(file, CorpusFile)]
        bad = [file for file in found if isinstance(file, Unreadable)]
        if not good:
            raise Fault(
                "D01",
                f"ingest.{corpus.name}: none of {len(bad)} files can be read as {corpus.title}, the first: "
                f"{bad[0].uri}: {bad[0].reason}",
            )
        _check_stems(corpus, good)
        files += good
        unreadable += bad
    return [replace(file, number=number) for number, file in enumerate(files)], unreadable


def _uris(corpus: Corpus, place: str) -> Iterator[str]:
    fix = f"set ingest.{corpus.name} to its files, folder or glob"
    if corpus.listing:
        found = listings(place, fix, tables=corpus.name == OWN)
    else:
        fs, paths = find_files(place, (".parquet",), fix)
        found = [fs.unstrip_protocol(path) for path in paths]
    if not found:
        raise FileNotFoundError(f"nothing of {corpus.title} at {place}: {fix}")
    yield from found


def _open(corpus: Corpus, uri: str, ingest: Ingest) -> CorpusFile | Unreadable:
    """Reads a file's footer, or counts its rows."""
    mapping = ingest.mapping if corpus.name == OWN else {}
    try:
        if corpus.listing and not uri.endswith(".parquet"):
            size, (rows, names) = 0, count_rows(uri)
            if names and (reason := missing(mapping, names)):
                return Unreadable(corpus=corpus.name, uri=uri, reason=reason)
        else:
            fs, path = url_to_fs(uri)
            with fs.open(path) as file, pq.ParquetFile(file) as parquet:
                size, rows = fs.size(path) or 0, parquet.metadata.num_rows
                names = parquet.schema_arrow.names
            wanted = [name for pair in corpus.pairs for name in (pair.source, pair.edit, pair.instruction)]
            lost = [name for name in (*corpus.id, *wanted) if name not in names]
            reason = f"no column {lost[0]!r}, only {', '.join(names)}" if lost else ""
            if reason := missing(mapping, names) if corpus.name == OWN else reason:
                return Unreadable(corpus=corpus.name, uri=uri, reason=reason)
    except (pa.ArrowException, OSError, ValueError) as error:
        return Unreadable(corpus=corpus.name, uri=uri, reason=_line(error))
    columns = tuple(mapping.items())
    return CorpusFile(number=0, corpus=corpus.name, uri=uri, size=size, stamp=_stamp(uri), rows=rows, columns=columns)


def _stamp(uri: str) -> str:
    fs, path = url_to_fs(uri)
    info = fs.info(path)
    return str(info.get("ETag") or info.get("mtime") or info.get("LastModified") or "")


def _check_stems(corpus: Corpus, files: list[CorpusFile]) -> None:
    if corpus.id:
        return
    stem, count = Counter(file.stem for file in files).most_common(1)[0]
    if count > 1:
        raise ValueError(
            f"ingest.{corpus.name}: {count} are called {stem}, which is part of the ids of {corpus.title}'s rows: "
            "rename one of them"
        )


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
