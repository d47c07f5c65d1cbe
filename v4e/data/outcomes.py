"""The table of valid outcomes beside a split's triplets, ``<split>-outcomes.parquet``: what a judge needs to know."""

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from v4e.data.write import rgb_png
from v4e.files.uri import open_atomic, open_uri

SCHEMA = pa.schema(
    [
        ("id", pa.string()),  # of the triplet
        ("kind", pa.string()),  # of its instruction, with what that leaves open behind a slash
        ("shown", pa.int64()),  # the outcome that the triplet's edit is
        ("prior", pa.list_(pa.float64())),
        ("outcomes", pa.list_(pa.binary())),  # PNG
        ("caption", pa.string()),  # of the evolution, as open as the instruction
        ("resolving", pa.string()),  # of the evolution, saying which outcome is shown
    ]
)


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """The valid results of one triplet's instruction on its source."""

    kind: str
    shown: int
    prior: tuple[float, ...]
    images: np.ndarray  # uint8 RGB (n, h, w, 3)
    caption: str
    resolving: str

    @property
    def open(self) -> bool:
        """True where the instruction leaves something to choose."""
        return len(self.prior) > 1


def outcomes_uri(triplets: str) -> str:
    """Returns the place of the outcomes that belong to a Parquet file of triplets."""
    return triplets.removesuffix(".parquet") + "-outcomes.parquet"


def write_outcomes(uri: str, outcomes: Iterable[tuple[str, Outcomes]], metadata: Mapping[str, str]) -> None:
    """Writes the outcomes of each triplet id, complete or not at all. `metadata` is kept in the file's schema."""
    rows = [
        {
            "id": key,
            "kind": one.kind,
            "shown": one.shown,
            "prior": list(one.prior),
            "outcomes": [rgb_png(image) for image in one.images],
            "caption": one.caption,
            "resolving": one.resolving,
        }
        for key, one in outcomes
    ]
    with open_atomic(uri) as file:
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA.with_metadata(dict(metadata))), file)


def read_outcomes(uri: str) -> dict[str, Outcomes]:
    """Reads outcomes by triplet id.

    Raises:
        ValueError: the file is not what :func:`write_outcomes` wrote.
    """
    with open_uri(uri) as file:
        table = pq.read_table(file)
    if missing := [name for name in SCHEMA.names if name not in table.column_names]:
        raise ValueError(f"{uri} has no column {missing[0]!r}: expected outcomes as `v4e world` writes them")
    return {row["id"]: _outcomes(row) for row in table.to_pylist()}


def _outcomes(row: dict) -> Outcomes:
    return Outcomes(
        kind=row["kind"],
        shown=row["shown"],
        prior=tuple(row["prior"]),
        images=np.stack([np.asarray(Image.open(io.BytesIO(png)).convert("RGB")) for png in row["outcomes"]]),
        caption=row["caption"],
        resolving=row["resolving"],
    )
