"""Edits of the committed tiny student against diffusers' own pipeline, from the same noise.

Shapes: P pixel frames, h w pixels.
"""

from pathlib import Path

import numpy as np
import torch
from diffusers import WanImageToVideoPipeline, WanTransformer3DModel
from PIL import Image

from benchmarks.gpu.sizes import Figures, GpuSize, device_of, expect
from v4e.editing.editor import Editor
from v4e.editing.settings import EditSettings
from v4e.models.encoders import encode_text
from v4e.tiny.world import FRAMES, SIZE, make_record

STUDENT = str(Path(__file__).resolve().parents[2] / "v4e" / "assets" / "tiny-wan-i2v")
STEPS, SEED = 8, 4
LEVELS = 2.0  # of 255, in float32: between two orders of the same sums
LEVELS_BF16 = 8.0  # of 255 on the mean: what bfloat16 does to eight steps


def check(device: str, size: GpuSize) -> Figures:
    """Levels of 255 between both, with and without guidance, in float32 and bfloat16; seconds of an edit.

    `size` is not read: the models are the tiny family's.
    """
    on = device_of(device)
    tf32, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False  # or float32 would not be
    try:
        figures: Figures = {}
        truth = edits(torch.float32, on)
        for dtype, most in ((torch.float32, LEVELS), (torch.bfloat16, LEVELS_BF16)):
            name = str(dtype).removeprefix("torch.")
            for (what, ours), (_, theirs) in zip(edits_of_ours(dtype, on).items(), truth.items(), strict=True):
                levels = np.abs(ours.astype(float) - theirs)
                worst = levels.max() if dtype == torch.float32 else levels.mean()
                figures[f"{name} {what}: levels apart"] = expect(f"{what} in {name}", float(worst), most)
        return figures
    finally:
        torch.backends.cudnn.allow_tf32 = tf32


def edits(dtype: torch.dtype, device: torch.device) -> dict[str, np.ndarray]:
    """uint8 clips (P, h, w, 3) of diffusers' pipeline by name."""
    dit = WanTransformer3DModel.from_pretrained(STUDENT, subfolder="transformer", torch_dtype=dtype)
    pipe = WanImageToVideoPipeline.from_pretrained(STUDENT, transformer=dit, torch_dtype=dtype)
    pipe.set_progress_bar_config(disable=True)
    pipe.to(device)
    record = make_record("heldout", "color", 0, 0)
    channels, side = pipe.transformer.config["out_channels"], SIZE // pipe.vae.config["scale_factor_spatial"]
    noise = torch.randn((1, channels, 2, side, side), generator=torch.Generator().manual_seed(SEED))
    texts = [record.instruction, ""]
    with torch.no_grad():  # text states, so that a machine without ftfy can do it too
        states = [encode_text(pipe.text_encoder, pipe.tokenizer, [text])[0] for text in texts]
    prompt, negative = (torch.nn.functional.pad(state, (0, 0, 0, 512 - len(state)))[None] for state in states)
    found = {}
    for what, guidance in (("plain", 1.0), ("guided", 3.0)):
        made = pipe(
            image=Image.fromarray(record.source),
            prompt_embeds=prompt,
            negative_prompt_embeds=negative,
            height=SIZE,
            width=SIZE,
            num_frames=FRAMES,
            num_inference_steps=STEPS,
            guidance_scale=guidance,
            latents=noise.to(device),
            output_type="np",
        )
        found[what] = np.round(255 * made.frames[0]).astype(np.uint8)
    return found


def edits_of_ours(dtype: torch.dtype, device: torch.device) -> dict[str, np.ndarray]:
    """The same clips of v4e's editor."""
    editor = Editor.load(STUDENT, dtype=dtype)
    assert editor.device.type == device.type, f"the editor is on {editor.device}, expected {device}"
    record = make_record("heldout", "color", 0, 0)
    found = {}
    for what, guidance in (("plain", 1.0), ("guided", 3.0)):
        settings = EditSettings(height=SIZE, width=SIZE, steps=STEPS, guidance=guidance, solver="unipc")
        [edit] = editor.edit([Image.fromarray(record.source)], [record.instruction], [SEED], settings)
        found[what] = np.stack([np.asarray(frame) for frame in edit.clip])
    return found
