"""The model card of the tiny Wan family: README.md and samples.png beside the weights, from what a run left behind."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from v4e.files.pictures import stack, strip
from v4e.language.tasks import TASKS
from v4e.tiny.pretrain.gate import GateResult, last_frame_psnr

COLUMNS = {
    "vae": "VAE ceiling",
    "teacher": "teacher, caption",
    "base": "base, caption",
    "native": "base, instruction",
}


def write_card(out: Path, work: Path, results: Mapping[str, GateResult], started_from: Path | None) -> None:
    """`results` by the names of COLUMNS."""
    out.mkdir(parents=True, exist_ok=True)
    samples(results).save(out / "samples.png")
    kinds = Counter(row["kind"] for row in json.loads((work / "corpus/texts.json").read_text()))
    told = sum(n for kind, n in kinds.items() if kind in TASKS)
    start = (
        f"With `--start-from {started_from}`: the VAE was taken from there, and the base went on from the base there."
        if started_from
        else "From nothing."
    )
    (out / "README.md").write_text(
        f"""# The tiny Wan family

Two diffusers folders, `tiny-wan-i2v` (the student's start) and `tiny-wan-flf2v` (the teacher), that
`WanImageToVideoPipeline.from_pretrained` loads unchanged: AutoencoderKLWan, UMT5EncoderModel with a byte-level BPE,
CLIPVisionModel, WanTransformer3DModel. Clips of 5 frames of 32 x 32 pixels. For tests and demonstrations of v4e; good
for nothing else. Made by `pipelines/pretrain.py`.

## Data
{kinds.total()} clips of the procedural evolution world (`v4e/world`, split `pretrain`): {told} captioned evolutions
of the 11 tasks, {kinds["still"]} still ones, {kinds["drift"]} with a drifting camera under a caption that only names
what is seen, {kinds["loose"]} told loosely (an imperative, or a caption without "everything else remains still"), in
which the camera moves, the light changes and the evolution may stop half-way. **So it is by construction that the base
performs evolution captions and drifts under raw instructions**: the flaw of native video models that the paper's
Fig. 4 shows, made on purpose. Held-out combinations of color and shape occur in no clip.

## Training
{start} Two
processes of one thread on a CPU. [What was tried before](../../docs/results/pretraining.md).
The last lines of the logs:

```
{_logs(work)}
```

## On {len(results["base"].records)} validation edits
Scenes of their own; 8 Euler steps, no guidance. An edit succeeds when its squared error to the ground truth inside the
edit is below a quarter of the source's and the rest keeps 20 dB. The VAE reconstructs the last frame at
{last_frame_psnr(results["vae"]):.1f} dB.

{_table(results)}

`samples.png`, a row a task, the first validation edit of each: truth, then {", ".join(COLUMNS.values())}.

![samples](samples.png)
"""
    )


def samples(results: Mapping[str, GateResult]) -> Image.Image:
    """A row a task: the true clip, then each result's."""
    rows = []
    some = results["base"]
    for task in TASKS:
        at = next(i for i, r in enumerate(some.records) if r.task == task)
        clips = [some.records[at].frames, *(results[name].clips[at] for name in COLUMNS)]
        rows.append(strip([np.concatenate(list(clip), 1) for clip in clips], gap=4, zoom=2))
    return stack(rows)


def _logs(work: Path) -> str:
    paths = [work / f"{stage}.log" for stage in ("vae", "base", "teacher")]
    return "\n".join(path.read_text().splitlines()[-1] for path in paths if path.exists())


def _table(results: Mapping[str, GateResult]) -> str:
    tables = [results[name].table for name in COLUMNS]
    lines = ["| success | " + " | ".join(COLUMNS.values()) + " |", "|---|" + "---|" * len(COLUMNS)]
    lines += [f"| {t} | " + " | ".join(f"{x['by_task'][t]['success']:.2f}" for x in tables) + " |" for t in TASKS]
    lines += ["| **overall** | " + " | ".join(f"{x['overall']['success']:.3f}" for x in tables) + " |"]
    lines += ["| preserved, dB | " + " | ".join(str(x["overall"]["preserve_psnr"]) for x in tables) + " |"]
    return "\n".join(lines)
