"""The model card of an export: what it is, how to use it, where it comes from. It names no path of the machine."""

from collections.abc import Sequence
from pathlib import Path

from v4e.config import RECIPES, Config, decided_by, objective, written
from v4e.files.journal import Record
from v4e.method.losses import TERMS
from v4e.models.positions import CHRONOEDIT, SKIP
from v4e.weights.export import COMFYUI, KOHYA, Weights
from v4e.weights.hub import LORA, named_loras

LAST = 100  # records that the card's metrics are means of
FIGURES = ("loss", *TERMS, "grad_norm")
NAMES = {"model": "student", "ema": "ema"}  # of folders
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
        "base": name + "".join(f" + {one}" for one in _begun(config)),
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
            *(_files_of_lora(config) if lora_file else _files(config, weights)),
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
    middle = f", middle_steps={sample.middle_steps}" if sample.middle_steps else ""
    return [
        "from PIL import Image",
        "from v4e import Editor, EditSettings",
        "",
        'editor = Editor.load("this/folder")  # or diffusers: WanImageToVideoPipeline.from_pretrained("this/folder")',
        f"settings = EditSettings(height={data.height}, width={data.width}, frames={data.frames}, "
        f"steps={sample.steps}, guidance={sample.guidance}, shift={config.flow.shift}, "
        f'solver="{sample.solver}"{middle})',
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


def _begun(config: Config) -> list[str]:
    """The LoRAs that training began with: names of files without their folders, and weights other than 1."""
    return [_weighted(*one) for one in named_loras(config.models.lora, "models.lora")]


def _weighted(file: str, weight: float) -> str:
    return f"{Path(file).name} x {weight:g}" if weight != 1 else Path(file).name


def _files(config: Config, weights: Weights) -> list[str]:
    """A table of the tools that load what, for the export of a whole student."""
    single = config.export.single
    comfyui = "none: export again with `export.single=bfloat16` or `fp8`"
    if single != "none":
        comfyui = f"`{NAMES[weights]}.safetensors` beside this folder ({single}), in `models/diffusion_models`"
    added = named_loras(config.export.loras, "export.loras")
    merged = [f"Merged into it: {', '.join(_weighted(*one) for one in added)}.", ""]
    return [
        *(merged if added else []),
        "| tool | loads |",
        "|---|---|",
        "| diffusers, v4e | this folder |",
        f"| ComfyUI, for the transformer | {comfyui} |",
    ]


def _files_of_lora(config: Config) -> list[str]:
    """A table of the tools that load what, for an export of adapters."""
    begun = _begun(config)
    first = [f"Trained on the base with {' and '.join(begun)} merged: load that too, with its weight.", ""]
    return [
        *(first if begun else []),
        "| tool | loads |",
        "|---|---|",
        f"| diffusers, v4e | `{LORA}` |",
        f"| ComfyUI | `{COMFYUI}` or `{KOHYA}` |",
        f"| kohya's scripts, musubi-tuner | `{KOHYA}` |",
    ]


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
