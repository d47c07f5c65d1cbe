"""Peak memory of a tensor-parallel rank while it loads, over the bytes it ends up with.

A checkpoint of random bfloat16 weights in Wan's proportions; every rank is a process of its own. Memory is counted
from what the process has before it loads (Python, torch, diffusers, the process group), mapped file pages included.
"""

import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from accelerate import init_empty_weights
from diffusers import WanTransformer3DModel

from benchmarks.support.resident import clear_peak, resident_mib
from benchmarks.support.result import write_result
from v4e.files.uri import read_json, write_json_atomic
from v4e.weights.load import load_dit

DIT = {
    "num_attention_heads": 16,
    "attention_head_dim": 128,
    "in_channels": 36,
    "text_dim": 4096,
    "ffn_dim": 5504,
    "num_layers": 6,
    "image_dim": 1280,
    "added_kv_proj_dim": 2048,
    "pos_embed_seq_len": 514,
}
DEGREES = (1, 2, 4)


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(Path(folder))
        for size in (0, *DEGREES):
            mp.spawn(load_and_report, args=(size, folder), nprocs=max(1, size))
            rows += [read_json(f"{folder}/{size}-{rank}.json") for rank in range(max(1, size))]
    for row in rows:
        row["peak_over_held"] = round(row["peak_mib"] / row["held_mib"], 3)
    split = [row["peak_over_held"] for row in rows if row["tp"] > 1]
    peaks = {f"peak_mib_tp{size}": max(r["peak_mib"] for r in rows if r["tp"] == size) for size in DEGREES[1:]}
    write_result(
        "load_shard",
        "python -m benchmarks.training.load_shard",
        rows,
        {"peak_rss_over_shard": max(split), "peak_mib_whole": rows[0]["peak_mib"]} | peaks,
    )


def write_checkpoint(folder: Path) -> None:
    """A pipeline folder with nothing but a transformer of :data:`DIT`, in files of at most 200 MB."""
    with init_empty_weights():
        dit = WanTransformer3DModel(**DIT)
    state = {name: torch.randn(p.shape).to(torch.bfloat16) for name, p in dit.named_parameters()}
    dit.load_state_dict(state, assign=True)
    dit.save_pretrained(folder / "transformer", max_shard_size="200MB")
    (folder / "model_index.json").write_text("{}")


def load_and_report(rank: int, size: int, folder: str) -> None:
    """Loads a rank's part, or with size 0 the whole model as diffusers does, and writes down what it took."""
    torch.set_num_threads(1)
    group = None
    if size:
        dist.init_process_group("gloo", init_method=f"file://{folder}/meet-{size}", rank=rank, world_size=size)
        group = dist.group.WORLD
    before = resident_mib("VmRSS")
    clear_peak()
    start = time.perf_counter()
    dit = load_dit(folder, torch.bfloat16, group=group)
    for parameter in dit.parameters():  # from_pretrained leaves the weights in the mapped file until they are used
        parameter.data.view(torch.uint8).flatten()[::4096].sum()
    row = {
        "tp": size,
        "rank": rank,
        "seconds": round(time.perf_counter() - start, 2),
        "before_mib": round(before, 1),
        "peak_mib": round(resident_mib("VmHWM") - before, 1),
        "held_mib": round(sum(p.nbytes for p in dit.parameters()) / 2**20, 1),
    }
    write_json_atomic(f"{folder}/{size}-{rank}.json", row)
    if size:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
