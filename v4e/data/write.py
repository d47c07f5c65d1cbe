"""Writing triplets as Parquet in OmniEdit's schema, so that every corpus of ours is read like any other."""

import io
from collections.abc import Iterable
from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.core import url_to_fs
from PIL import Image

from v4e.io import open_uri
from v4e.types import EditTriplet

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


def write_triplets(uri: str, triplets: Iterable[EditTriplet]) -> int:
    """Writes one Parquet file in the order given, row group by row group, and returns the number of rows.

    The same triplets give the same bytes. The file appears under its name only when it is complete. Scores, which our
    triplets have not, are null.
    """
    rows = iter(triplets)
    written = 0
    fs, path = url_to_fs(uri)
    unfinished = f"{path}.tmp"
    with open_uri(fs.unstrip_protocol(unfinished), "wb") as file, pq.ParquetWriter(file, SCHEMA) as writer:
        while group := list(islice(rows, ROW_GROUP)):
            writer.write_table(pa.Table.from_pylist([_row(triplet) for triplet in group], schema=SCHEMA))
            written += len(group)
    fs.mv(unfinished, path)
    return written


def png(image: Image.Image) -> bytes:
    """`image` as PNG bytes."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def _row(triplet: EditTriplet) -> dict[str, object]:
    return {
        "omni_edit_id": triplet.id,
        "task": triplet.task,
        "src_img": {"bytes": png(triplet.source), "path": None},
        "edited_img": {"bytes": png(triplet.edit), "path": None},
        "edited_prompt_list": [triplet.instruction],
        "width": triplet.source.width,
        "height": triplet.source.height,
    }
