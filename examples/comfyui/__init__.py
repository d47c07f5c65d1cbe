"""Nodes of v4e for ComfyUI: one asks a server, the other has the editor in ComfyUI itself.

Copy or link this folder into ComfyUI's custom_nodes. The first node needs nothing that ComfyUI has not; the second one
needs v4e in ComfyUI's environment.

Shapes: B batch, h w pixels. A ComfyUI image is (B, h, w, 3) in [0, 1], and a mask (B, h, w), 1 where to edit.
"""

import base64
import io
import json
import os
import urllib.error
import urllib.request
from functools import cache

import numpy as np
import torch
from PIL import Image

SEEDS = {"default": 0, "min": 0, "max": 2**53 - 11}
COMMON = {
    "image": ("IMAGE",),
    "instruction": ("STRING", {"multiline": True, "default": "make the car blue"}),
    "seed": ("INT", SEEDS),
    "steps": ("INT", {"default": 8, "min": 1, "max": 50}),
    "strength": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.05}),
    "preserve": (["off", "auto"],),
}


class V4EServerEdit:
    """The node that asks a v4e server; its key is the variable V4E_API_KEY, so that no workflow holds it."""

    CATEGORY, FUNCTION = "v4e", "edit"
    RETURN_TYPES, RETURN_NAMES = ("IMAGE",), ("edit",)

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        url = ("STRING", {"default": "http://127.0.0.1:8000"})
        return {"required": COMMON | {"url": url}, "optional": {"mask": ("MASK",)}}

    def edit(self, image, instruction, seed, steps, strength, preserve, url, mask=None):
        """Returns the edits of a batch; the k-th has the seed `seed` + k."""
        edits = []
        for k, picture in enumerate(pictures(image)):
            body = {
                "image": data_url(picture),
                "prompt": instruction,
                "seed": seed + k,
                "num_inference_steps": steps,
                "strength": strength,
                "preserve": preserve,
            }
            if mask is not None:
                body |= {"mask": {"image_url": data_url(masks(mask, picture, k))}, "mask_from": "white"}
            edits.append(Image.open(io.BytesIO(asked(url, body))))
        return (images(edits),)


class V4EEdit:
    """The node that edits in ComfyUI's own process; it keeps the model that it used last."""

    CATEGORY, FUNCTION = "v4e", "edit"
    RETURN_TYPES, RETURN_NAMES = ("IMAGE", "IMAGE", "MASK"), ("edit", "evolution", "region")

    @classmethod
    def INPUT_TYPES(cls) -> dict:
        model = ("STRING", {"default": ""})
        dtype, away = (["bfloat16", "float32"],), (["", "models", "blocks"],)
        pixels = ("INT", {"default": 832 * 480, "min": 256, "max": 2**24})
        more = {"model": model, "dtype": dtype, "away": away, "max_pixels": pixels}
        return {"required": COMMON | more, "optional": {"mask": ("MASK",)}}

    def edit(self, image, instruction, seed, steps, strength, preserve, model, dtype, away, max_pixels, mask=None):
        """Returns the edits of a batch, the frames of all evolutions, and where each edit changed its image."""
        from v4e.editing.settings import EditSettings

        made = []
        for k, picture in enumerate(pictures(image)):
            settings = EditSettings(max_pixels=max_pixels, steps=steps, strength=strength, preserve=preserve)
            given = None if mask is None else [masks(mask, picture, k)]
            made += editor(model, dtype, away).edit([picture], [instruction], [seed + k], settings, masks=given)
        regions = [one.region or Image.new("L", one.image.size, 255) for one in made]
        where = torch.stack([torch.from_numpy(np.asarray(one, np.float32) / 255) for one in regions])
        return images([one.image for one in made]), images([frame for one in made for frame in one.clip]), where


@cache
def editor(model: str, dtype: str, away: str):
    from v4e import Editor

    return Editor.load(model, dtype=getattr(torch, dtype), away=away)


def asked(url: str, body: dict) -> bytes:
    """Returns the picture that a server made.

    Raises:
        RuntimeError: the server's own words, or that there is none.
    """
    key = os.environ.get("V4E_API_KEY", "none")
    head = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    request = urllib.request.Request(f"{url.rstrip('/')}/v1/images/edits", json.dumps(body).encode(), head)
    try:
        with urllib.request.urlopen(request) as answer:
            return base64.b64decode(json.load(answer)["data"][0]["b64_json"])
    except urllib.error.HTTPError as error:
        try:
            words = json.load(error)["error"]["message"]
        except (ValueError, KeyError, TypeError):
            words = error.reason
        raise RuntimeError(f"{url} answers {error.code}: {words}") from None
    except urllib.error.URLError as error:
        raise RuntimeError(f"{url}: no v4e server answers ({error.reason}): start one with `v4e serve`") from None


def pictures(image: torch.Tensor) -> list[Image.Image]:
    """Returns ComfyUI's images (B, h, w, 3) as pictures."""
    pixels = (255 * image[..., :3].clamp(0, 1)).round().to(torch.uint8)
    return [Image.fromarray(one) for one in pixels.cpu().numpy()]


def images(made: list[Image.Image]) -> torch.Tensor:
    """Returns pictures of one size as ComfyUI's images."""
    return torch.stack([torch.from_numpy(np.asarray(one.convert("RGB"), np.float32) / 255) for one in made])


def masks(mask: torch.Tensor, picture: Image.Image, k: int) -> Image.Image:
    """Returns the mask of the k-th picture, or the last one there is, at the picture's size."""
    flat = mask.reshape(-1, *mask.shape[-2:])
    pixels = (255 * flat[min(k, len(flat) - 1)].clamp(0, 1)).round().to(torch.uint8)
    return Image.fromarray(pixels.cpu().numpy()).resize(picture.size)


def data_url(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


NODE_CLASS_MAPPINGS = {"V4EServerEdit": V4EServerEdit, "V4EEdit": V4EEdit}
NODE_DISPLAY_NAME_MAPPINGS = {"V4EServerEdit": "v4e edit (server)", "V4EEdit": "v4e edit"}
