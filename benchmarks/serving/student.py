"""Makes a run's student the one that comes with v4e, and measures it on the run's held-out edits.

``python -m benchmarks.serving.student run.dir=runs/demo`` writes v4e/assets/student: the change of the weights, and six
pictures to click, with their truths. They are held-out edits that the exact judge calls right, the best of six tasks.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.torch import load_file

from benchmarks.support.result import write_result
from pipelines.parts.heldout import read_heldout
from v4e.config import parse
from v4e.editing.editor import Editor
from v4e.editing.settings import EditSettings
from v4e.evaluation.metrics.exact import Score, score, summarize
from v4e.types import EditTriplet
from v4e.weights import student
from v4e.weights.change import write_change

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
SCHEDULER = "scheduler/scheduler_config.json"
SHOWN = ("color", "removal", "addition", "background", "style", "text")
BATCH = 20


def main() -> None:
    config = parse(sys.argv[1:])
    made = Path(config.run.dir) / "export" / "ema"
    shifts = [json.loads((Path(folder) / SCHEDULER).read_text())["flow_shift"] for folder in (student.BASE, made)]
    if shifts[0] != shifts[1]:
        raise SystemExit(f"{made} samples with shift {shifts[1]}, the base with {shifts[0]}: export it with the base's")
    student.FOLDER.mkdir(exist_ok=True)
    write_change(load_file(Path(student.BASE) / WEIGHTS), load_file(made / WEIGHTS), student.CHANGE)
    editor, (triplets, _) = Editor.load(), read_heldout(config)
    scores = [score_of(editor, part, config.eval.preserve_db) for part in batches(triplets)]
    judged = [pair for part in scores for pair in part]
    chosen = [best(judged, task) for task in SHOWN]
    for number, (triplet, _) in enumerate(chosen, 1):
        triplet.source.save(student.FOLDER / f"example-{number}.png")
        triplet.edit.save(student.FOLDER / f"truth-{number}.png")
    found = summarize([one for _, one in judged])
    card = {
        "knows": "This small model knows drawn scenes of 32 x 32 pixels like these, and no photographs.",
        "max_pixels": chosen[0][0].source.width * chosen[0][0].source.height,
        "examples": [
            {"picture": f"example-{number}.png", "instruction": triplet.instruction, "task": one.task, "seed": 0}
            for number, (triplet, one) in enumerate(chosen, 1)
        ],
    }
    student.CARD.write_text(json.dumps(card, indent=1) + "\n")
    write_result(
        "student",
        " ".join(["python -m benchmarks.serving.student", *sys.argv[1:]]),
        [{"task": task} | row for task, row in found["by_task"].items()],
        found["overall"] | {"bytes": student.CHANGE.stat().st_size},
    )


def batches(triplets: list[EditTriplet]) -> list[list[EditTriplet]]:
    return [triplets[k : k + BATCH] for k in range(0, len(triplets), BATCH)]


def score_of(editor: Editor, part: list[EditTriplet], preserve_db: float) -> list[tuple[EditTriplet, Score]]:
    """Edits triplets from seed 0, as an example does, and judges the edits."""
    width, height = part[0].source.size
    settings = EditSettings(height=height, width=width)
    edits = editor.edit([t.source for t in part], [t.instruction for t in part], [0] * len(part), settings)
    return [
        (t, score(t.task, pixels(t.source), pixels(t.edit), pixels(edit.image), preserve_db))
        for t, edit in zip(part, edits, strict=True)
    ]


def best(judged: list[tuple[EditTriplet, Score]], task: str) -> tuple[EditTriplet, Score]:
    """Returns the edit of a task that is right and nearest to its truth."""
    right = [pair for pair in judged if pair[1].task == task and pair[1].success]
    return min(right, key=lambda pair: pair[1].edit_l1)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


if __name__ == "__main__":
    main()
