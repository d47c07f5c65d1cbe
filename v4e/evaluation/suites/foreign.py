"""Image editors of others, through diffusers' own pipeline classes: FLUX.1 Kontext, Qwen-Image-Edit, ChronoEdit, ...

``model_index.json`` names the class. What a class calls its arguments is read from its signature, so that any edit
pipeline that takes an image and a prompt works.
"""

import inspect
from typing import Any, cast

import diffusers
import torch
from PIL import Image

CHRONO_FRAMES = 5  # ours: source, and the frames that become the edit; its own default of 81 is for videos


def class_of(folder: str) -> str:
    """The name of its pipeline class.

    Raises:
        ValueError: the folder or hub id holds no pipeline.
    """
    try:
        config = cast(dict, diffusers.DiffusionPipeline.load_config(folder))
    except OSError as error:
        why = str(error).splitlines()[0]
        raise ValueError(f"bench.models: {folder} is no diffusers pipeline, nor the hub id of one: {why}") from error
    name = config.get("_class_name")
    if not name:
        raise ValueError(f"bench.models: {folder}/model_index.json names no _class_name: it is no diffusers pipeline")
    return name[0] if isinstance(name, list | tuple) else name


def load(folder: str, dtype: torch.dtype, device: torch.device) -> Any:
    """The pipeline in `dtype`, on `device`; Wan's VAE and image encoder in float32, as it has them.

    Raises:
        ValueError: diffusers has not its class, or the class takes no image and prompt.
    """
    name = class_of(folder)
    if not hasattr(diffusers, name):
        raise ValueError(
            f"{folder} is a {name}, which diffusers {diffusers.__version__} has not: edit with its own program, put "
            "the edits into the official layout (docs/evaluating.md), and leave generate out of bench.stages"
        )
    takes = inspect.signature(getattr(diffusers, name).__call__).parameters
    if not {"image", "prompt"} <= set(takes):
        raise ValueError(f"{folder} is a {name}, which takes no image and prompt: it is no instruction editor")
    parts = cast(dict, diffusers.DiffusionPipeline.load_config(folder))
    wan = list(parts.get("vae", [])) == ["diffusers", "AutoencoderKLWan"]
    exact = {part: torch.float32 for part in ("vae", "image_encoder") if wan and part in parts}
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, torch_dtype={"default": dtype, **exact})
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def arguments(pipeline: Any, *, steps: int, guidance: float, width: int, height: int) -> dict[str, Any]:
    """Returns the arguments of a call beside image, prompt and generator.

    Steps of 0 and guidance below 0 are the pipeline's own. Video editors get the size and `CHRONO_FRAMES` frames;
    image editors choose the size themselves.
    """
    takes = inspect.signature(type(pipeline).__call__).parameters
    found: dict[str, Any] = {}
    if steps:
        found["num_inference_steps"] = steps
    if guidance >= 0:  # Qwen-Image-Edit's guidance_scale is for distilled models, its true one is not
        qwen = "true_cfg_scale" in takes and takes["true_cfg_scale"].default != 1.0
        found["true_cfg_scale" if qwen else "guidance_scale"] = guidance
    if "true_cfg_scale" in takes and takes["true_cfg_scale"].default != 1.0:
        found["negative_prompt"] = " "  # else its guidance is silently off
    if "num_frames" in takes:
        found |= {"num_frames": CHRONO_FRAMES, "width": width, "height": height}
    return found


def edit(pipeline: Any, image: Image.Image, instruction: str, seed: int, settings: dict[str, Any]) -> Image.Image:
    """One edit; its noise is drawn on the CPU, so that every machine draws the same."""
    generator = torch.Generator().manual_seed(seed)
    made = pipeline(image=image, prompt=instruction, generator=generator, output_type="pil", **settings)
    return made.frames[0][-1] if hasattr(made, "frames") else made.images[0]
