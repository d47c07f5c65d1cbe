"""The editor against diffusers' own pipelines on equal weights, noise, frames and steps, pair by pair.

``python -m benchmarks.serving.edit [rounds]`` measures WanImageToVideoPipeline and ChronoEditPipeline, with guidance
and without it, in seconds of CPU on one thread. Each edit has a new picture, instruction and negative prompt. Then the
editor makes the same edit again, as for n = 2 or a retry, with its encodings cached.

There are two models: the committed tiny family, and random weights of a wider DiT and a slimmer VAE, as Wan's are. Text
and image tokens outnumber those of a tiny picture, and a CPU's 3D convolutions are slow: both favor the editor. So the
ledger at 14B (benchmarks/support/ledger.py) is counted, printed and written with it.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLWan, ChronoEditPipeline, ChronoEditTransformer3DModel, WanImageToVideoPipeline
from PIL import Image

from benchmarks.support import ledger
from benchmarks.support.result import write_result
from v4e.editing.editor import Edit, Editor
from v4e.editing.settings import EditSettings
from v4e.method.sampler import OnStep
from v4e.models import tiny
from v4e.models.encoders import decode_clip

ROUNDS, STEPS, FRAMES = 7, 8, 5
MOVED = "moved_noise"  # stock with every number of the noise moved to the next float: how far rounding takes an edit
TINY = Path(__file__).resolve().parent.parent.parent / "v4e" / "assets" / "tiny-wan-i2v"
TEXT, NEGATIVE = "make the red circle number {} blue and leave everything else as it is", "blurred, number {}"


@dataclass(frozen=True, kw_only=True)
class Model:
    name: str
    folder: Path
    side: int  # pixels of the square pictures
    latent: int  # its side in latents


def random_model(folder: Path) -> Path:
    """Saves a model of 8 blocks of width 320 and a VAE of base width 4, with random weights."""
    torch.manual_seed(0)
    dit = {**tiny.DIT, "num_layers": 8, "num_attention_heads": 8, "ffn_dim": 1280, "added_kv_proj_dim": 320}
    tiny.save(
        folder,
        transformer=tiny.WanTransformer3DModel(**dit),
        vae=AutoencoderKLWan(**{**tiny.VAE, "base_dim": 4}),
        text_encoder=tiny.build_text_encoder(),
        tokenizer=tiny.build_tokenizer([TEXT]),
        image_encoder=tiny.build_image_encoder(),
        dtype=torch.float32,
    )
    return folder


def chronoedit(wan: WanImageToVideoPipeline) -> ChronoEditPipeline:
    """Returns ChronoEdit with the weights of `wan`, and with the latent frames at Wan's positions in time."""
    transformer = ChronoEditTransformer3DModel(**dict(wan.transformer.config) | {"rope_temporal_skip_len": 2})
    transformer.load_state_dict(wan.transformer.state_dict())
    parts = {name: part for name, part in wan.components.items() if name not in ("transformer", "transformer_2")}
    return ChronoEditPipeline(**parts, transformer=transformer.eval())


def picture(model: Model, n: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(n).integers(0, 256, (model.side, model.side, 3), dtype=np.uint8))


def edited(editor: Editor, model: Model, guidance: float, n: int, on_step: OnStep | None = None) -> Edit:
    """Returns the editor's edit of picture number n."""
    settings = EditSettings(
        height=model.side, width=model.side, frames=FRAMES, steps=STEPS, guidance=guidance, solver="unipc"
    )
    [edit] = editor.edit(
        [picture(model, n)],
        [TEXT.format(n)],
        [n],
        settings,
        negatives=[NEGATIVE.format(n)],
        on_step=on_step,
    )
    return edit


def pictures(model: Model, guidance: float) -> dict[str, Callable[[int], np.ndarray]]:
    """Returns the makers to compare: each makes the clip (P, h, w, 3) in [0, 1] of picture number n.

    MOVED is for the comparison of pixels only; it is not timed.
    """
    stock = WanImageToVideoPipeline.from_pretrained(model.folder, torch_dtype=torch.float32)
    editor = Editor.load(str(model.folder))
    shape = (1, tiny.Z, 1 + (FRAMES - 1) // 4, model.latent, model.latent)

    def theirs(pipe: WanImageToVideoPipeline | ChronoEditPipeline, moved: bool = False) -> Callable[[int], np.ndarray]:
        pipe.set_progress_bar_config(disable=True)

        def noise(n: int) -> torch.Tensor:
            z = torch.randn(shape, generator=torch.Generator().manual_seed(n))
            return torch.nextafter(z, torch.full_like(z, torch.inf)) if moved else z

        def edit(n: int) -> np.ndarray:
            call: Any = pipe
            return call(
                image=picture(model, n),
                prompt=TEXT.format(n),
                negative_prompt=NEGATIVE.format(n),
                height=model.side,
                width=model.side,
                num_frames=FRAMES,
                num_inference_steps=STEPS,
                guidance_scale=guidance,
                latents=noise(n),
                output_type="np",
            ).frames[0]

        return edit

    def ours(n: int) -> np.ndarray:
        edit = edited(editor, model, guidance, n)
        return np.stack([np.asarray(frame) for frame in edit.clip]) / 255

    others = {"stock": theirs(stock), "chronoedit": theirs(chronoedit(stock)), MOVED: theirs(stock, moved=True)}
    return {"ours": ours, **others}


@torch.no_grad()
def difference(model: Model, guidance: float, expected: np.ndarray, n: int) -> float:
    """Returns the largest difference of our pixels, before rounding to 8 bits, from `expected` of picture number n."""
    editor, seen = Editor.load(str(model.folder)), []
    edited(editor, model, guidance, n, on_step=lambda _step, x0_hat: seen.append(x0_hat))
    clip_CPHW = decode_clip(editor.decoder, seen[-1])[0]  # the last step's prediction is where it ends
    return float(np.abs((clip_CPHW.permute(1, 2, 3, 0).numpy() + 1) / 2 - expected).max())


def compare(model: Model, guidance: float, rounds: int) -> list[dict]:
    """Returns one row per round. The order changes from round to round."""
    makers, rows = pictures(model, guidance), []
    clips = {name: make(0) for name, make in makers.items()}  # warm, and what is compared
    off = {f"{name}_diff": difference(model, guidance, clips[name], 0) for name in ("stock", "chronoedit")}
    off |= {f"{name}_of_stock": float(np.abs(clips["stock"] - clips[name]).max()) for name in ("chronoedit", MOVED)}
    del makers[MOVED]
    for n in range(1, 1 + rounds):
        names = list(makers)[n % 3 :] + list(makers)[: n % 3]
        seconds = {}
        for name in [*names, "again"]:
            make = makers["ours" if name == "again" else name]
            start = time.process_time()
            make(n)
            seconds[name] = round(time.process_time() - start, 3)
        rows.append({"model": model.name, "guidance": guidance, **seconds, **off})
    return rows


def main() -> None:
    torch.set_num_threads(1)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    rows, summary = [], {}
    with tempfile.TemporaryDirectory() as folder:
        models = [
            Model(name="tiny", folder=TINY, side=128, latent=32),
            Model(name="random", folder=random_model(Path(folder)), side=128, latent=32),
        ]
        for model in models:
            for guidance in (5.0, 1.0):
                rows += compare(model, guidance, rounds)

    def ratio(other: str, model: str, guidance: float) -> float:
        own = [row for row in rows if row["model"] == model and row["guidance"] == guidance]
        return round(median(row[other] / row["ours"] for row in own), 2)

    names = [model.name for model in models]
    for key, guidance in (("cfg", 5.0), ("nocfg", 1.0)):
        summary[f"speedup_{key}"] = min(ratio("stock", name, guidance) for name in names)
        summary |= {f"speedup_{key}_{name}": ratio("stock", name, guidance) for name in names}
    summary["speedup_chronoedit"] = min(ratio("chronoedit", name, g) for name in names for g in (5.0, 1.0))
    summary["speedup_again"] = min(round(1 / ratio("again", name, 1.0), 2) for name in names)
    for key in ("stock_diff", "chronoedit_diff", "chronoedit_of_stock"):
        summary[key] = max(row[key] for row in rows)
    summary["stock_diff_over_rounding"] = round(max(row["stock_diff"] / row[f"{MOVED}_of_stock"] for row in rows), 2)
    flops_rows, flops = ledger.count()
    summary["ledger_14b_cfg"] = flops["stock_cfg_over_ours_cfg"]  # beside the tiny ratios, so that they mislead nobody
    summary["ledger_14b_nocfg"] = flops["stock_over_ours"]
    print(ledger.table(flops_rows))
    write_result("ledger", "python -m benchmarks.support.ledger", flops_rows, flops)
    write_result("edit", "python -m benchmarks.serving.edit", rows, summary)


if __name__ == "__main__":
    main()
