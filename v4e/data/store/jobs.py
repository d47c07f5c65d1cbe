"""The work left to precompute: triplets and captions as chunks of decoded images.

A corpus is cut into chunks before finished rows are left out. A resumed run then encodes the same triplets together as
an undisturbed one, and computes the same bits.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from v4e.config import Data
from v4e.data.buckets import Size, size_of, to_bucket
from v4e.data.quality import BadTriplet, bad_id, decode_triplet
from v4e.data.sources import CorpusPart, RawTriplet, rows
from v4e.data.store.store import Texts

STAGE = "precompute"
DUPLICATE = "id appears twice: the first triplet is used"
Rejection = dict[str, str]  # a row of rejected.parquet


@dataclass(frozen=True, kw_only=True)
class WantedTriplet:
    """One triplet of a run."""

    id: str
    position: int  # in its part
    texts: Texts
    missing: bool  # not in the store; the other triplets of its chunk are encoded with it but not written


@dataclass(frozen=True, kw_only=True)
class EncodeJob:
    """The work in one part of the corpus."""

    part: CorpusPart
    chunks: tuple[tuple[WantedTriplet, ...], ...]


@dataclass(frozen=True, kw_only=True)
class EncodeChunk:
    """Triplets to encode together: uint8 RGB of one size, (B, h, w, 3)."""

    wanted: tuple[WantedTriplet, ...]
    source_BHWC: np.ndarray
    edit_BHWC: np.ndarray
    rejected: tuple[Rejection, ...]


@dataclass(frozen=True, kw_only=True)
class EncodeWork:
    """The work of a precompute run."""

    jobs: tuple[EncodeJob, ...]
    triplets: int  # in the corpus
    missing: int  # those not in the store
    rejected: tuple[Rejection, ...]  # before any image is read


def plan_work(
    parts: Iterable[CorpusPart],
    captions: Mapping[str, Mapping[str, str]],
    stored: Mapping[str, Texts],
    batch: int,
    skip: Collection[str] = (),
) -> EncodeWork:
    """Compares the corpus and its captions with the store.

    Args:
        captions: rows of captions.parquet by id.
        stored: the texts of the samples in the store by id: another caption makes another sample.
        batch: triplets of a chunk.
        skip: ids that were rejected before. They keep their place in the chunks and are not counted as missing.

    Raises:
        ValueError: a triplet has no caption, or one of another instruction.
    """
    jobs: list[EncodeJob] = []
    seen: set[str] = set()
    rejected: list[Rejection] = []
    triplets = missing = 0
    for part in parts:
        wanted: list[WantedTriplet] = []
        for position, row in enumerate(rows(part, images=False)):
            triplets += 1
            if reason := bad_id(row.id):
                rejected.append(rejection(row.id, reason))
            elif row.id in seen:
                rejected.append(rejection(row.id, DUPLICATE))
            elif not row.instruction.strip():
                rejected.append(rejection(row.id, "empty instruction"))
            else:
                texts = _texts(row, captions.get(row.id))
                new = row.id not in skip and stored.get(row.id) != texts
                wanted.append(WantedTriplet(id=row.id, position=position, texts=texts, missing=new))
                missing += new
            seen.add(row.id)
        cuts = [tuple(wanted[at : at + batch]) for at in range(0, len(wanted), batch)]
        if chunks := tuple(cut for cut in cuts if any(item.missing for item in cut)):
            jobs.append(EncodeJob(part=part, chunks=chunks))
    return EncodeWork(jobs=tuple(jobs), triplets=triplets, missing=missing, rejected=tuple(rejected))


def read_job(job: EncodeJob, data: Data) -> Iterator[EncodeChunk]:
    """Yields the chunks of one job with their images, checked, decoded and resized; one chunk per cut and bucket."""
    rest = enumerate(rows(job.part))
    for cut in job.chunks:
        raw: dict[int, RawTriplet] = {}
        for position, row in rest:
            raw[position] = row
            if position == cut[-1].position:
                break
        yield from _decode([(item, raw[item.position]) for item in cut], data)


def rejection(sample_id: str, reason: str) -> Rejection:
    return {"id": sample_id, "stage": STAGE, "reason": reason}


def _texts(row: RawTriplet, caption: Mapping[str, str] | None) -> Texts:
    if caption is None:
        raise ValueError(f"triplet {row.id} has no caption: run pipelines/caption.py with this recipe first")
    if caption["instruction"].strip() != row.instruction.strip():
        raise ValueError(
            f"the caption of {row.id} is of the instruction {caption['instruction']!r}, its triplet says "
            f"{row.instruction!r}: run pipelines/caption.py with this recipe first"
        )
    instruction = row.instruction.strip()
    return Texts(instruction=instruction, caption=caption["caption"], task=caption["task"], corpus=row.corpus)


def _decode(cut: list[tuple[WantedTriplet, RawTriplet]], data: Data) -> Iterator[EncodeChunk]:
    groups: dict[Size, list[tuple[WantedTriplet, np.ndarray, np.ndarray]]] = {}
    rejected = []
    for item, row in cut:
        try:
            triplet = decode_triplet(row, data.max_pixels)
            size = size_of(*triplet.source.size, data)
        except BadTriplet as bad:
            rejected.append(rejection(item.id, str(bad)))
            continue
        source, edit = (np.asarray(to_bucket(image, data)) for image in (triplet.source, triplet.edit))
        groups.setdefault(size, []).append((item, source, edit))
    todo = {size: group for size, group in groups.items() if any(item.missing for item, _, _ in group)}
    for size, group in (todo or {(data.height, data.width): []}).items():
        sources, edits = (np.array([row[side] for row in group], np.uint8).reshape(-1, *size, 3) for side in (1, 2))
        yield EncodeChunk(
            wanted=tuple(item for item, _, _ in group),
            source_BHWC=sources,
            edit_BHWC=edits,
            rejected=tuple(rejected),
        )
        rejected = []  # reported once
