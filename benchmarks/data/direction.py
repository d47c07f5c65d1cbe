"""The check of swapped pairs on additions and removals whose direction is known, as they are and turned round."""

import sys
from collections.abc import Iterator

import numpy as np
from PIL import Image

from benchmarks.support.result import write_result
from pipelines.stages.photos import make_triplet, read_photos
from v4e.data.ingest.drawing import drawn
from v4e.data.ingest.gates import edge_gain, turned_round
from v4e.tiny.world import make_record

SIZE = (320, 240)
Pair = tuple[Image.Image, Image.Image]


def pairs(kind: str, task: str, count: int) -> Iterator[Pair]:
    """Yields (source, edit) of the world, of drawn scenes, or of the photographs inside scikit-image."""
    if kind == "photographs":
        made = (make_triplet(photo, task, n, 0) for photo in read_photos(None) for n in range(4))
    elif kind == "world":
        made = (make_record("train", task, n, 0) for n in range(count))
    else:
        made = (drawn(task, f"direction{n}", SIZE) for n in range(count))
    for one in made:
        if one is not None:
            yield tuple(Image.fromarray(np.asarray(image)) for image in (one.source, one.edit))  # type: ignore[misc]


def main(count: int = 150) -> None:
    """Writes benchmarks/results/direction.json of `count` pairs of each kind and task; of photographs, of all."""
    rows = []
    for kind in ("world", "drawn", "photographs"):
        for task in ("addition", "removal"):
            found = list(pairs(kind, task, count))
            gains = [edge_gain(*pair) for pair in found]
            known = [gain if task == "addition" else -gain for gain in gains if gain is not None]
            rows.append(
                {
                    "pairs": kind,
                    "task": task,
                    "n": len(found),
                    "right_sign": sum(gain > 0 for gain in known),
                    "falsely_dropped": sum(turned_round(source, edit, task) for source, edit in found),
                    "swapped_found": sum(turned_round(edit, source, task) for source, edit in found),
                    "least_gain": round(min(known), 3),
                }
            )
    keys = ("n", "right_sign", "falsely_dropped", "swapped_found")
    summary = {key: sum(row[key] for row in rows) for key in keys}
    write_result("direction", f"python -m benchmarks.data.direction {count}", rows, summary)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
