"""A checkpoint as diffusers pipeline folders: export/student and export/ema below the run.

WanImageToVideoPipeline.from_pretrained loads them unchanged. Takes the newest checkpoint of run.dir.
"""

import sys
from pathlib import Path
from typing import Literal

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pipelines._cli import main
from v4e import checkpoint
from v4e.config import Config
from v4e.progress import bar, plan
from v4e.stages import stage
from v4e.student import DTYPES

FOLDERS: dict[str, Literal["model", "ema"]] = {"student": "model", "ema": "ema"}  # folder to the part of a checkpoint


def run(config: Config) -> None:
    """Exports the newest checkpoint of ``run.dir``."""
    checkpoints = Path(config.run.dir, "checkpoints")
    steps = checkpoint.steps_of(checkpoints)
    if not steps:
        raise FileNotFoundError(f"no checkpoint in {checkpoints}: run pipelines/train.py with this run.dir first")
    out = Path(config.run.dir, "export")
    plan(
        "export",
        {
            "checkpoint": checkpoint.path_of(checkpoints, steps[-1]),
            "base": config.models.student,
            "dtype": config.models.dtype,
            "output": ", ".join(str(out / name) for name in FOLDERS),
        },
    )
    with stage(config.run.dir, "export"), bar("export", len(FOLDERS), unit="folders") as advance:
        for name, weights in FOLDERS.items():
            checkpoint.export(
                Path(checkpoint.path_of(checkpoints, steps[-1])),
                config.models.student,
                out / name,
                weights=weights,
                dtype=DTYPES[config.models.dtype],
            )
            advance(1)


if __name__ == "__main__":
    main(__doc__, run)
