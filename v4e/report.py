"""``report.html``: one self-contained page on a run, with pictures."""

import base64
import io
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import jinja2
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from v4e.config import Config
from v4e.journal import read as read_journal
from v4e.tasks import TABLE1
from v4e.types import EditTriplet

ZOOM = 3
TEMPLATE = Path(__file__).with_name("report.html.j2")
MODEL_NAMES = {
    "ema": "student (EMA)",
    "student": "student",
    "native_i2v": "native I2V",
    "base_caption": "native I2V with evolution caption",
    "teacher": "teacher (sees the edit)",
    "vae": "VAE ceiling",
    "copy": "copy the source",
}


def strip(frames: list[np.ndarray], gap: int = 2, zoom: int = ZOOM) -> Image.Image:
    """Images of one size side by side on transparent ground, enlarged without smoothing."""
    page = beside([Image.fromarray(frame) for frame in frames], gap)
    return page.resize((page.width * zoom, page.height * zoom), Image.Resampling.NEAREST)


def beside(images: list[Image.Image], gap: int) -> Image.Image:
    """Images side by side, tops aligned, on transparent ground."""
    width = sum(i.width + gap for i in images) - gap
    page, x = Image.new("RGBA", (width, max(i.height for i in images)), (0, 0, 0, 0)), 0
    for image in images:
        page.paste(image, (x, 0))
        x += image.width + gap
    return page


def stack(rows: list[Image.Image], gap: int = 6) -> Image.Image:
    """Strips of one size below each other, on transparent ground."""
    page = Image.new("RGBA", (rows[0].width, sum(r.height + gap for r in rows) - gap), (0, 0, 0, 0))
    for i, row in enumerate(rows):
        page.paste(row, (0, i * (row.height + gap)))
    return page


def data_uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def curves(records: list[dict]) -> str:
    """Loss curves as inline SVG; thin lines are steps, thick ones a running mean."""
    terms = [t for t in ("kd", "tail", "flow") if records and t in records[-1]]
    if not terms:
        return ""
    figure, axes = plt.subplots(1, len(terms), figsize=(4.2 * len(terms), 2.6), squeeze=False)
    steps = [r["step"] for r in records]
    for axis, term in zip(axes[0], terms, strict=True):
        values = np.array([r[term] for r in records], float)
        window = max(1, len(values) // 40)
        mean = np.convolve(values, np.ones(window) / window, "valid")
        axis.plot(steps, values, color="#8886", linewidth=0.5)
        axis.plot(steps[len(steps) - len(mean) :], mean, color="#d9480f", linewidth=1.6)
        axis.set_title({"kd": "L_kd", "tail": "L_tail", "flow": "flow matching"}[term], fontsize=10, color="#888")
        axis.set_yscale("log")
        axis.tick_params(which="both", colors="#888", labelsize=8)
        for spine in axis.spines.values():
            spine.set_color("#8884")
    figure.tight_layout()
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True)
    plt.close(figure)
    return text.getvalue()[text.getvalue().index("<svg") :]


def render(
    config: Config,
    *,
    table: dict,
    examples: list[tuple[EditTriplet, dict[str, np.ndarray]]],
    stages: dict,
    captions: list[dict],
    rejected: list[dict],
) -> str:
    """The page. `examples` pairs a triplet with each model's clip (P, h, w, 3)."""
    size = (config.data.width, config.data.height)
    shown = []
    for triplet, clips in examples:
        source, edit = (np.asarray(i.resize(size, Image.Resampling.LANCZOS)) for i in (triplet.source, triplet.edit))
        rows = [(MODEL_NAMES[name], data_uri(strip([source, *clip[1:], edit]))) for name, clip in clips.items()]
        shown.append({"task": TABLE1[triplet.task].label, "instruction": triplet.instruction, "rows": rows})
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(TEMPLATE.read_text()).render(
        config=config,
        names={n: MODEL_NAMES[n] for n in table if n in MODEL_NAMES},
        table=table,
        labels={t: TABLE1[t].label for t in next(iter(table.values()))["by_task"]},
        examples=shown,
        curves=curves(read_journal(Path(config.run.dir) / "metrics.jsonl")),
        stages=stages,
        captions=captions,
        rejected=rejected,
        settings=json.dumps({k: vars(v) for k, v in config.sections().items()}, indent=1, default=str),
    )
