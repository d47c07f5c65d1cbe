"""The rule that an image is used by one triplet only, whichever corpus, split or side of an edit it comes from.

No pair is trained on twice or in both directions, and no image of the held-out triplets is trained on.
"""

from collections.abc import Sequence
from typing import Protocol

import imagehash
import numpy as np
from PIL import Image

from v4e.data.quality import BadTriplet, decode_image
from v4e.data.sources import parts, rows


class Hashed(Protocol):
    """The fields by which triplets are compared."""

    @property
    def id(self) -> str: ...
    @property
    def row(self) -> tuple[int, int]: ...
    @property
    def source_hash(self) -> int: ...
    @property
    def edit_hash(self) -> int: ...


def perceptual_hash(image: Image.Image) -> int:
    """Returns 64 bits (pHash) that hardly change when an image is resized, compressed or brightened."""
    return int(str(imagehash.phash(image)), 16)


def repeats(triplets: Sequence[Hashed], excluded: np.ndarray, distance: int) -> list[str]:
    """Returns the reason why each of `triplets` repeats one before it, or an image of `excluded`; empty if it does not.

    A triplet that repeats another does not exclude later ones.

    Args:
        excluded: uint64 hashes of images that must not occur.
        distance: bits of 64 by which hashes of one image may differ.
    """
    known = np.empty(len(excluded) + 2 * len(triplets), np.uint64)
    known[: len(excluded)] = excluded
    used = len(excluded)
    owners: list[str] = []
    ids, rows = set[str](), dict[tuple[int, int], str]()
    reasons = []
    for one in triplets:
        reason = ""
        if one.id in ids:
            reason = "id appears twice: the first triplet is used"
        elif one.row in rows:
            reason = f"the other direction of {rows[one.row]}"
        else:
            for hashed in (one.source_hash, one.edit_hash):
                near = np.flatnonzero(np.bitwise_count(known[:used] ^ np.uint64(hashed)) <= distance)
                if near.size:
                    first = int(near[0]) - len(excluded)
                    reason = f"shares an image with {owners[first // 2]}" if first >= 0 else "in ingest.exclude"
                    break
        reasons.append(reason)
        if not reason:
            known[used : used + 2] = one.source_hash, one.edit_hash
            used += 2
            owners.append(one.id)
            ids.add(one.id)
            rows[one.row] = one.id
    return reasons


def hashes_of(uri: str, max_pixels: int) -> np.ndarray:
    """Returns uint64 hashes of all images of the triplets at `uri`, except for those that cannot be decoded.

    Raises:
        FileNotFoundError, ValueError: as :func:`v4e.data.sources.parts`.
    """
    found = []
    for part in parts(uri, key="ingest.exclude"):
        for row in rows(part):
            for name, data in (("source", row.source), ("edit", row.edit)):
                try:
                    found.append(perceptual_hash(decode_image(data, name, max_pixels)))
                except BadTriplet:
                    continue
    return np.array(found, np.uint64)
