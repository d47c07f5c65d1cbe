"""The teacher's clips of some triplets at several lengths, decoded into one picture: whether rollouts will be of use.

Samples the FLF2V teacher as v4e rollout would, by teacher.* and with captions from templates. Clips have 5, 9, 17 and
33 pixel frames, and 5 at places 0 and 7 in time, as ChronoEdit has them. It is one process, on a GPU if there is one,
and needs no store, no captions and no Ray. It takes data.limit triplets of data.train, 20 where no limit is set.

Ends with <run.dir>/clips.png, a row a clip, and clips.json. A largest step of 1 is a cut, and one of 1 / (frames - 1)
is an even evolution. The dB compare the last frame with the edit.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from statistics import fmean

import numpy as np

from v4e.captions.templates import template_caption
from v4e.config import Config
from v4e.data.buckets import to_bucket
from v4e.data.quality import decode_triplet
from v4e.data.sources import parts, rows
from v4e.data.store.paths import train_uri
from v4e.files.pictures import png
from v4e.files.progress import bar, plan
from v4e.files.uri import join, write_atomic, write_json_atomic
from v4e.method.flow import sample_seed
from v4e.types import EditTriplet
from v4e.watch.picture import rows as page

TRIPLETS, LOOKED_AT = 20, 256  # where data.limit says nothing; of the first so many rows
VARIANTS: dict[str, tuple[int, tuple[int, ...]]] = {  # pixel frames, and the places of two latent frames
    "5": (5, (0, 1)),
    "5 at 0, 7": (5, (0, 7)),
    "9": (9, (0, 1)),
    "17": (17, (0, 1)),
    "33": (33, (0, 1)),
}
MOMENTS = {"first": 0.0, "1/4": 0.25, "1/2": 0.5, "3/4": 0.75, "last": 1.0}  # of a clip, in the picture


def run(config: Config) -> None:
    """Samples, decodes and shows the clips of every variant."""
    triplets = list(chosen(config))
    teacher = config.teacher
    plan(
        "clips",
        {
            "triplets": f"{len(triplets)} of {train_uri(config)}, {config.data.height} x {config.data.width}",
            "teacher": config.models.teacher + (f" with {teacher.lora}" if teacher.lora else ""),
            "sampler": f"{teacher.steps} steps of {teacher.solver}, shift {teacher.shift or config.flow.shift:g}, "
            f"guidance {teacher.guidance:g}",
            "lengths": ", ".join(VARIANTS),
            "output": join(config.run.dir, "clips.png"),
        },
    )
    columns: dict[str, list[np.ndarray]] = {name: [] for name in (*MOMENTS, "edit")}
    labels, figures = [], []
    with bar("clips", len(triplets) * len(VARIANTS), unit="clips") as advance:
        for triplet, name, clip_PHWC, seconds in sampled(config, triplets):
            edit = np.asarray(to_bucket(triplet.edit, config.data))
            for column, share in MOMENTS.items():
                columns[column].append(clip_PHWC[round(share * (len(clip_PHWC) - 1))])
            columns["edit"].append(edit)
            labels.append(f"{triplet.task}, {name}" if name == next(iter(VARIANTS)) else name)
            figures.append({"id": triplet.id, "variant": name, "seconds": seconds, **measured(clip_PHWC, edit)})
            advance(1)
    write_atomic(join(config.run.dir, "clips.png"), png(page(columns, labels, len(VARIANTS))))
    write_json_atomic(join(config.run.dir, "clips.json"), figures)
    plan("means over the triplets", {name: told([f for f in figures if f["variant"] == name]) for name in VARIANTS})


def chosen(config: Config) -> Iterator[EditTriplet]:
    """Yields evenly spread triplets among the first rows."""
    found = list(islice((row for part in parts(train_uri(config)) for row in rows(part)), LOOKED_AT))
    count = min(len(found), config.data.limit or TRIPLETS)
    for number in range(count):
        yield decode_triplet(found[number * len(found) // count], config.data.max_pixels)


def sampled(config: Config, triplets: list[EditTriplet]) -> Iterator[tuple[EditTriplet, str, np.ndarray, float]]:
    """Yields each triplet's clip by each variant, uint8 (P, h, w, 3), and the seconds that it took."""
    from v4e.editing.editor import Editor  # here: torch and diffusers, after what can be wrong with the arguments
    from v4e.editing.settings import EditSettings
    from v4e.models.positions import place_frames
    from v4e.weights.load import DTYPES

    models, teacher = config.models, config.teacher
    editor = Editor.load(
        models.teacher,
        dtype=DTYPES[models.dtype],
        attention=models.attention,
        fold_pad=models.fold_pad,
        loras={"teacher": teacher.lora} if teacher.lora else {},
    )
    settings = EditSettings(
        height=config.data.height,
        width=config.data.width,
        steps=teacher.steps,
        guidance=teacher.guidance,
        shift=teacher.shift or config.flow.shift,
        solver=teacher.solver,
    )
    for triplet in triplets:
        source, edit = (to_bucket(image, config.data) for image in (triplet.source, triplet.edit))
        for name, (frames, places) in VARIANTS.items():
            place_frames(editor.dit, places)
            start = time.monotonic()
            [found] = editor.edit(
                [source],
                [template_caption(triplet.instruction, triplet.task)],
                [sample_seed(0, triplet.id, 0)],
                replace(settings, frames=frames),
                negatives=[teacher.negative],
                lora="teacher" if teacher.lora else None,
                last_images=[edit],
            )
            yield triplet, name, np.stack([np.asarray(frame) for frame in found.clip]), time.monotonic() - start


def measured(clip_PHWC: np.ndarray, edit: np.ndarray) -> dict[str, float]:
    """Returns how near the clip ends to the edit, in dB, and the share of its change in its largest step."""
    clip = clip_PHWC.astype(np.float32)
    steps = np.abs(np.diff(clip, axis=0)).mean((1, 2, 3))
    error = np.mean((clip[-1] - edit) ** 2)
    return {
        "last_db": float(10 * np.log10(255**2 / max(error, 1e-3))),
        "largest_step": float(steps.max() / max(steps.sum(), 1e-6)),
    }


def told(figures: list[dict]) -> str:
    """A variant's means in words."""
    seconds, last_db, largest = (fmean(f[key] for f in figures) for key in ("seconds", "last_db", "largest_step"))
    return f"{seconds:.2f} s a clip; last frame {last_db:.1f} dB of the edit; largest step {largest:.2f} of all change"
