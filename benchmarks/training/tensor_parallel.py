"""FLOPs and all-reduced bytes of one rank's forward of the 14B teacher, counted on the meta device, against formulas.

Nothing is computed and nothing is timed: what a degree of tensor parallelism asks of GPUs and their links.
"""

from unittest.mock import patch

import torch
import torch.distributed as dist
from diffusers import WanTransformer3DModel
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.support.result import write_result
from v4e.models.sizes import WAN14B_FLF2V
from v4e.parallel.tensor_parallel import split

D, FFN, LAYERS, TEXT, IMAGE = 5120, 13824, 40, 512, 514
CLIPS = {"480p": (2, 60, 104), "720p": (2, 90, 160)}  # 5 pixel frames: F, H, W of their latents
DEGREES = (1, 2, 4, 8)


def main() -> None:
    rows = [count(clip, size) for clip in CLIPS for size in DEGREES]
    errors = {
        f"{what}_error_max": max(abs(row[what] / row[f"{what}_formula"] - 1) for row in rows if row[f"{what}_formula"])
        for what in ("block_flops", "reduced_bytes")
    }
    at = {(row["clip"], row["tp"]): row for row in rows}
    shares = {
        f"flops_tp{n}_over_tp1": round(at["720p", n]["flops"] / at["720p", 1]["flops"], 4) for n in DEGREES if n > 1
    }
    reduced = round(at["720p", 2]["reduced_bytes"] / 1e9, 3)
    write_result(
        "tensor_parallel",
        "python -m benchmarks.training.tensor_parallel",
        rows,
        errors | shares | {"reduced_gb_720p": reduced},
    )


def count(clip: str, size: int) -> dict[str, float]:
    """One rank's forward at batch 1 in bfloat16."""
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=size)
    with torch.device("meta"):
        dit = WanTransformer3DModel(**WAN14B_FLF2V)
    for parameter in dit.parameters():
        parameter.data = parameter.data.to(torch.bfloat16)
    group = dist.group.WORLD
    assert group is not None
    if size > 1:
        split(dit, group)
    reduced = 0

    def counted(tensor: torch.Tensor, group: dist.ProcessGroup) -> None:
        nonlocal reduced
        reduced += tensor.nbytes

    def empty(*shape: int) -> torch.Tensor:
        return torch.empty(*shape, dtype=torch.bfloat16, device="meta")

    inputs = empty(1, 36, *CLIPS[clip]), empty(1), empty(1, TEXT, 4096), empty(2, IMAGE // 2, 1280)
    with FlopCounterMode(display=False) as counter, patch("torch.distributed.all_reduce", counted), torch.no_grad():
        dit(*inputs, return_dict=False)
    dist.destroy_process_group()
    frames, height, width = CLIPS[clip]
    N = frames * height * width // 4
    seen, linear = TEXT + IMAGE, 6 * D * D + 2 * D * FFN
    per_block = 2 * N * linear + 4 * N * N * D + 4 * N * seen * D + 4 * D * D * seen
    statistics = 4 * (3 * N + TEXT + IMAGE)  # float32 sums of squares: q and k, q, k of the text, k of the images
    flops = counter.get_flop_counts()
    return {
        "clip": clip,
        "tp": size,
        "tokens": N,
        "flops": counter.get_total_flops(),
        "block_flops": sum(sum(flops[f"WanTransformer3DModel.blocks.{n}"].values()) for n in range(LAYERS)),
        "block_flops_formula": LAYERS * per_block // size,
        "reduced_bytes": reduced,
        "reduced_bytes_formula": LAYERS * (3 * N * D * 2 + statistics) if size > 1 else 0,
    }


if __name__ == "__main__":
    main()
