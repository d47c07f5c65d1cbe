"""The writer of triplets as Parquet in OmniEdit's schema, so that our corpora are read like any other."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from v4e.files.pictures import png
from v4e.files.uri import open_atomic

Pixels = Image.Image | np.ndarray  # an array is uint8 RGB, (h, w, 3)
ROW_GROUP = 64  # rows: what a reader holds, and one task's work
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
SCHEMA = pa.schema(
    [
        ("omni_edit_id", pa.string()),
        ("task", pa.string()),
        ("src_img", IMAGE),
        ("edited_img", IMAGE),
        ("edited_prompt_list", pa.list_(pa.string())),
        ("width", pa.int64()),
        ("height", pa.int64()),
        ("sc_score_1", pa.int64()),
        ("sc_score_2", pa.int64()),
        ("pq_score", pa.int64()),
        ("sc_reasoning", pa.string()),
        ("pq_reasoning", pa.string()),
        ("o_score", pa.float64()),
    ]
)


class Triplet(Protocol):
    """The fields of a row that are written; :class:`v4e.types.EditTriplet` and the world's records have them."""

    @property
    def id(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def instruction(self) -> str: ...
    @property
    def source(self) -> Pixels: ...
    @property
    def edit(self) -> Pixels: ...


def write_triplets(uri: str, triplets: Iterable[Triplet], metadata: Mapping[str, str] | None = None) -> int:
    """Writes one Parquet file in the order given, row group by row group, and returns the number of rows.

    The same triplets give the same bytes. The file appears under its name only when it is complete. Our triplets have
    no scores: these columns are null. `metadata` is kept in the file's schema.
    """
    rows = iter(triplets)
    written = 0
    schema = SCHEMA.with_metadata(dict(metadata or {}))
    with open_atomic(uri) as file, pq.ParquetWriter(file, schema) as writer:
        while group := list(islice(rows, ROW_GROUP)):
            writer.write_table(pa.Table.from_pylist([_row(triplet) for triplet in group], schema=schema))
            written += len(group)
    return written


def rgb_png(pixels: Pixels) -> bytes:
    """Returns an image as PNG in RGB, the same bytes for the same pixels."""
    image = Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels
    return png(image.convert("RGB"))


def _row(triplet: Triplet) -> dict[str, object]:
    height, width = np.asarray(triplet.source).shape[:2]
    return {
        "omni_edit_id": triplet.id,
        "task": triplet.task,
        "src_img": {"bytes": rgb_png(triplet.source), "path": None},
        "edited_img": {"bytes": rgb_png(triplet.edit), "path": None},
        "edited_prompt_list": [triplet.instruction],
        "width": width,
        "height": height,
    }
