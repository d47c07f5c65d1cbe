"""The file ``index.parquet`` of a store: the headers of all samples, so that a plan need not open each of them."""

import io
from collections.abc import Mapping
from operator import attrgetter

import pyarrow as pa
import pyarrow.parquet as pq

from v4e.data.store.header import Header, Texts
from v4e.files.uri import exists, open_uri, write_atomic

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("instruction", pa.string()),
        ("caption", pa.string()),
        ("task", pa.string()),
        ("corpus", pa.string()),
        ("height", pa.int32()),  # of the latents
        ("width", pa.int32()),
    ]
)
TEXTS = SCHEMA.names[1:5]


def read_index(uri: str) -> dict[str, Header]:
    """Reads headers by id; empty if there is no index."""
    if not exists(uri):
        return {}
    with open_uri(uri) as file:
        columns = pq.read_table(file, schema=SCHEMA).to_pydict()
    texts = map(Texts, *(columns[name] for name in TEXTS))
    buckets = zip(columns["height"], columns["width"], strict=True)
    return dict(zip(columns["id"], map(Header, texts, buckets), strict=True))


def write_index(uri: str, headers: Mapping[str, Header]) -> None:
    """Writes one Parquet file, complete or not at all."""
    found = list(headers.values())
    columns = {
        "id": list(headers),
        **{name: list(map(attrgetter(f"texts.{name}"), found)) for name in TEXTS},
        "height": [header.bucket[0] for header in found],
        "width": [header.bucket[1] for header in found],
    }
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns, schema=SCHEMA), buffer)
    write_atomic(uri, buffer.getvalue())
