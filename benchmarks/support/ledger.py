"""The FLOPs of one edit by Wan2.1-I2V-14B at 1280 x 720, 5 frames, 8 steps: diffusers' pipeline against the editor.

``python -m benchmarks.support.ledger`` counts with torch's FlopCounterMode on the meta device, without a GPU or
weights. An instruction has 30 tokens; diffusers pads it to 512.
"""

from collections.abc import Callable

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPVisionConfig, CLIPVisionModel, UMT5Config, UMT5EncoderModel

from benchmarks.support.result import write_result
from v4e.method.conditioning import condition
from v4e.method.sampler import sample
from v4e.models.attention import fold_pads
from v4e.models.dit import DitInputs, predict
from v4e.models.encoders import decode_clip, encode_clip
from v4e.models.framewise import framewise
from v4e.models.sizes import WAN14B_I2V
from v4e.wan import TEXT_LEN, latent_frames

HEIGHT, WIDTH, FRAMES, STEPS, TEXT, IMAGE = 720, 1280, 5, 8, 30, 257
LONGER = 9  # frames of a clip with a middle
UMT5_XXL = {"vocab_size": 256384, "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64}
VIT_H = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 16}
META = torch.device("meta")


def teraflops(run: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    return counter.get_total_flops() / 1e12


def side_models() -> list[dict]:
    """Returns a row each for text, image, VAE encoding and VAE decoding."""
    with META:
        text = UMT5EncoderModel(UMT5Config(**UMT5_XXL, feed_forward_proj="gated-gelu")).eval()
        image = CLIPVisionModel(CLIPVisionConfig(**VIT_H, image_size=224, patch_size=14)).eval()
        stock, ours = AutoencoderKLWan().eval(), framewise(AutoencoderKLWan().eval())
        clip_BCPHW = torch.empty(1, 3, FRAMES, HEIGHT, WIDTH)
        z_BCFHW = torch.empty(1, 16, latent_frames(FRAMES), HEIGHT // 8, WIDTH // 8)
        pixels = torch.empty(1, 3, 224, 224)

    def ids(length: int) -> torch.Tensor:
        return torch.zeros(1, length, dtype=torch.long, device=META)

    seen = teraflops(lambda: image(pixel_values=pixels))
    return [
        {
            "part": "text, each prompt",
            "stock_tf": teraflops(lambda: text(ids(TEXT_LEN))),
            "ours_tf": teraflops(lambda: text(ids(TEXT))),
        },
        {"part": "image", "stock_tf": seen, "ours_tf": seen},
        {
            "part": "VAE encode",
            "stock_tf": teraflops(lambda: encode_clip(stock, clip_BCPHW)),
            "ours_tf": teraflops(lambda: encode_clip(ours, clip_BCPHW)),
        },
        {
            "part": "VAE decode",
            "stock_tf": teraflops(lambda: decode_clip(stock, z_BCFHW)),
            "ours_tf": teraflops(lambda: decode_clip(ours, z_BCFHW)),
        },
    ]


def transformer(frames: int = FRAMES) -> tuple[float, Callable[..., float]]:
    """Returns the teraflops of a stock forward, and a function of guidance and middle steps: those of an edit's."""
    with META:
        stock, ours = (WanTransformer3DModel(**dict(WAN14B_I2V)).eval() for _ in range(2))
        z_BCFHW = torch.empty(1, 16, latent_frames(frames), HEIGHT // 8, WIDTH // 8)
        text, empty = (torch.empty(length, WAN14B_I2V["text_dim"]) for length in (TEXT, 1))
        image_BID = torch.empty(1, IMAGE, WAN14B_I2V["image_dim"])
    fold_pads(ours)
    inputs = DitInputs(y_BCFHW=condition(z_BCFHW, last=False), text=[text], image_BID=image_BID)
    t_B = torch.full((1,), 0.5, device=META)
    forward = teraflops(lambda: predict(stock, z_BCFHW, t_B, inputs))

    def edit(guidance: float = 1.0, middle_steps: int = 0) -> float:
        return teraflops(
            lambda: sample(
                ours,
                inputs,
                seeds=[0],
                steps=STEPS,
                shift=5.0,
                solver="euler",
                scheduler=UniPCMultistepScheduler(),
                guidance=guidance,
                empty=[empty] if guidance != 1 else None,
                middle_steps=middle_steps,
            )
        )

    return forward, edit


def steps() -> list[dict]:
    """Returns a row each for the DiT's steps: plain, guided, of a longer clip, and of one that loses its middle."""
    (short, edit), (long, edit_long) = transformer(), transformer(LONGER)
    return [
        {"part": "DiT", "stock_tf": STEPS * short, "ours_tf": edit()},
        {"part": "DiT, guided", "stock_tf": 2 * STEPS * short, "ours_tf": edit(5.0)},
        {"part": f"DiT, {LONGER} frames", "stock_tf": STEPS * long, "ours_tf": edit_long()},
        {
            "part": f"DiT, {LONGER} frames for 2 steps",
            "stock_tf": STEPS * long,
            "ours_tf": edit_long(middle_steps=2),
        },
    ]


def count() -> tuple[list[dict], dict[str, float]]:
    """Returns the rows of the parts, and the summary."""
    counted = side_models() + steps()
    rows = [{"part": row["part"], **{k: round(row[k], 2) for k in ("stock_tf", "ours_tf")}} for row in counted]
    by = {row["part"]: row for row in rows}
    shared = ("image", "VAE encode", "VAE decode")

    def total(who: str, dit: str, prompts: int) -> float:
        return sum(by[part][who] for part in (*shared, dit)) + prompts * by["text, each prompt"][who]

    plain = {who: total(f"{who}_tf", "DiT", 1) for who in ("stock", "ours")}
    guided = {who: total(f"{who}_tf", "DiT, guided", 2) for who in ("stock", "ours")}
    return rows, {
        "ours_tf": round(plain["ours"]),
        "stock_tf": round(plain["stock"]),
        "ours_cfg_tf": round(guided["ours"]),
        "stock_cfg_tf": round(guided["stock"]),
        "stock_over_ours": round(plain["stock"] / plain["ours"], 3),
        "stock_cfg_over_ours_cfg": round(guided["stock"] / guided["ours"], 3),
        "stock_cfg_over_ours": round(guided["stock"] / plain["ours"], 3),
    }


def table(rows: list[dict]) -> str:
    lines = [f"{'TFLOP at 14B, 1280 x 720':28}{'stock':>10}{'ours':>10}"]
    return "\n".join(lines + [f"{row['part']:28}{row['stock_tf']:10.2f}{row['ours_tf']:10.2f}" for row in rows])


def main() -> None:
    rows, summary = count()
    print(table(rows))
    write_result("ledger", "python -m benchmarks.support.ledger", rows, summary)


if __name__ == "__main__":
    main()
