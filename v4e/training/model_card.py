"""The model card of an export: what it is, how to use it, where it comes from. It names no path of the machine."""

from collections.abc import Sequence
from pathlib import Path

from v4e.config import RECIPES, Config, decided_by, objective, written
from v4e.files.journal import Record
from v4e.method.losses import TERMS
from v4e.models.positions import CHRONOEDIT, SKIP
from v4e.weights.export import Weights

LAST = 100  # records that the card's metrics are means of
FIGURES = ("loss", *TERMS, "grad_norm")
WHAT = {"model": "The weights as trained", "ema": "The moving average of the weights"}


def card(
    config: Config, *, step: int, weights: Weights, samples: str, records: Sequence[Record], lora_file: bool = False
) -> str:
    """README.md of an export of the checkpoint of `step`.

    `samples` is the hash of the samples trained on, `records` those of metrics.jsonl. With `lora_file` the export is
    adapters alone.
    """
    base = config.models.student
    hub = not Path(base).exists()
    name = base if hub else Path(base).name
    front = ["library_name: diffusers", "pipeline_tag: image-to-image", "tags: [image-editing, v4e]"]
    front += [f"base_model: {base}"] if hub else []
    front += ["base_model_relation: adapter"] if hub and lora_file else []
    mode = "all weights"
    if config.lora.rank:
        mode = f"adapters of rank {config.lora.rank} on {', '.join(config.lora.targets)}"
        mode += "" if lora_file else ", merged"
    facts = {
        "base": name,
        "trained": mode,
        "weights": WHAT[weights].lower(),
        "recipe": " ".join([f"recipe={config.recipe}", *changes(config)]),
        "loss": objective(config.kd, config.tail, config.flow),
        "step": f"{step} of {config.optim.total}",
        "data": f"samples {samples} (hash of their ids), {config.data.frames} x {config.data.height} x "
        f"{config.data.width}",
    }
    return "\n".join(
        [
            "---",
            *front,
            "---",
            f"# An image editor from {name}",
            "",
            "An edit is the last frame of a short video from the source image, told by the instruction. Made by v4e.",
            "",
            "```python",
            *(_use_lora(config, name) if lora_file else _use(config)),
            "```",
            *_placed(config),
            "",
            "| | |",
            "|---|---|",
            *(f"| {key} | {value} |" for key, value in facts.items()),
            "",
            *_metrics(step, records),
            "",
        ]
    )


def changes(config: Config) -> list[str]:
    """Returns ``section.key=value`` of each setting that decides the weights and differs from the recipe's."""
    made = RECIPES.get(config.recipe)
    recipe = made() if made else Config(recipe=config.recipe)
    before = decided_by(recipe, "training", models=False)
    now = decided_by(config, "training", models=False)
    return [f"{key}={written(value)}" for key, value in now.items() if value != before.get(key)]


def _use(config: Config) -> list[str]:
    data, sample = config.data, config.sample
    return [
        "from PIL import Image",
        "from v4e import Editor, EditSettings",
        "",
        'editor = Editor.load("this/folder")  # or diffusers: WanImageToVideoPipeline.from_pretrained("this/folder")',
        f"settings = EditSettings(height={data.height}, width={data.width}, frames={data.frames}, "
        f"steps={sample.steps}, guidance={sample.guidance}, shift={config.flow.shift}, "
        f'solver="{sample.solver}")',
        '[edit] = editor.edit([Image.open("photo.png")], ["make the car red"], [0], settings)',
        'edit.image.save("edit.png")',
    ]


def _use_lora(config: Config, name: str) -> list[str]:
    kind, given, load = "", "", []
    if positions := config.models.positions:
        kind, given = f"{CHRONOEDIT}, ", ", transformer=transformer"
        place = f'"{name}", subfolder="transformer", {SKIP}={positions[1] + 1}'
        load = [f"transformer = {CHRONOEDIT}.from_pretrained({place})"]
    return [
        f"from diffusers import {kind}WanImageToVideoPipeline",
        "",
        *load,
        f'pipe = WanImageToVideoPipeline.from_pretrained("{name}"{given})',
        'pipe.load_lora_weights("this/folder")',
    ]


def _placed(config: Config) -> list[str]:
    """A line on the places of latent frames, where they are not Wan's own."""
    if not config.models.positions:
        return []
    places = " and ".join(map(str, config.models.positions))
    return ["", f"Its two latent frames are at places {places} in time: diffusers' class for that is `{CHRONOEDIT}`."]


def _metrics(step: int, records: Sequence[Record]) -> list[str]:
    """Means over the last records up to `step`, as a table."""
    window = [record for record in records if record["step"] <= step][-LAST:]
    if not window:
        return ["No metrics were recorded."]
    terms = [term for term in FIGURES if term in window[-1]]
    means = [f"{sum(record[term] for record in window) / len(window):.4f}" for term in terms]
    return [
        f"Means over the last {len(window)} steps of training; they say nothing about edits, which "
        "`pipelines/evaluate.py` measures:",
        "",
        f"| {' | '.join(terms)} |",
        "|" + "--:|" * len(terms),
        f"| {' | '.join(means)} |",
    ]
