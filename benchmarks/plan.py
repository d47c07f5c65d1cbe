"""The plan against what it plans: FLOPs, memory, and bytes on the wire.

FLOPs of the true Wan2.1-14B classes on the meta device, as torch's counter has them. Memory: two ranks start from
checkpoints of random weights in Wan's proportions and take two steps; their peak of resident memory counts from what
the process has after steps of a small student, for what Python and torch load at a first step is not the student's.
glibc is told (MALLOC_MMAP_THRESHOLD_) to give freed memory back at once: a plan counts what is in use, not what an
allocator keeps for later. Bytes as runs of the tiny recipe with a real teacher pool received them.
`python benchmarks/plan.py [flops] [memory] [wire]` measures only these, into no file.
"""

import gc
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import ray
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPVisionConfig, CLIPVisionModel, UMT5Config, UMT5EncoderModel

from actors.cluster import connect
from benchmarks.load_shard import resident_mib
from benchmarks.payload import prepare
from benchmarks.random_student import TEXT, batch_of, wan, write_checkpoint
from benchmarks.result import write_result
from pipelines import train
from v4e import journal
from v4e.config import KD, Config, Models, Optim, Train
from v4e.io import read_json, write_json_atomic
from v4e.memory import parameter_count, student_memory
from v4e.models import sizes
from v4e.models.dit import hidden_states, predict
from v4e.models.load import load_student
from v4e.parallel import student_mesh
from v4e.plan import MIB, Reads, clip_tokens, forward_flops, packed_bytes, tapped_flops, training_flops
from v4e.recipes import tiny
from v4e.student import StudentTrainer

CPU = torch.device("cpu")
RANKS, SIDE, STEPS = 2, 32, 2
IMAGE = 257  # tokens of one
SMALL = (4, 8)  # heads of 128 and blocks of the student that a process warms up with
# Heads, blocks, and what differs from the defaults of `train`.
STUDENTS = [
    (8, 12, {}),
    (8, 12, {"recompute": "selective"}),
    (8, 12, {"recompute": "full"}),
    (8, 12, {"dtype": "bfloat16"}),
    (10, 14, {}),
    (12, 14, {}),
]
GRIDS = {"480p": (2, 60, 104), "720p": (2, 90, 160), "480p, 9 frames": (3, 60, 104)}


# FLOPs


def count_flops() -> list[dict]:
    """Rows of the DiTs, forward, to a tap, and backward, and of the frozen encoders, which are not planned."""
    rows = []
    for size, grid_FHW in GRIDS.items():
        for name, transformer in (("I2V", sizes.WAN14B_I2V), ("FLF2V", sizes.WAN14B_FLF2V)):
            of = sizes.dit(transformer)
            reads = Reads(clip=clip_tokens(of, grid_FHW), text=512, image=of.images * IMAGE)
            with torch.device("meta"):
                model = WanTransformer3DModel(**transformer)
            inputs = (
                torch.empty(1, 16, *grid_FHW, device="meta"),
                torch.empty(1, device="meta"),
                torch.empty(1, 20, *grid_FHW, device="meta"),
                [torch.empty(9, of.text_width, device="meta")],
                torch.empty(1, reads.image, of.image_width, device="meta"),
            )
            counted = {}
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                predict(model, *inputs)
            counted["forward"] = (counter.get_total_flops(), forward_flops(of, reads))
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                hidden_states(model, *inputs, taps=(9, 19))
            counted["to block 19"] = (counter.get_total_flops(), tapped_flops(of, reads, (9, 19)))
            with FlopCounterMode(display=False) as counter:
                predict(model.train(), *inputs)[0].sum().backward()
            counted["training"] = (counter.get_total_flops(), training_flops(of, reads, recompute=False))
            rows += [
                {"part": "flops", "model": name, "clip": size, "what": what, "counted": ours, "planned": planned}
                for what, (ours, planned) in counted.items()
            ]
    return rows + count_encoders()


def count_encoders() -> list[dict]:
    """What v4e/scale/costs.py takes for a clip's encoding: Wan2.1's VAE, UMT5-XXL and CLIP ViT-H, on the meta device."""
    with torch.device("meta"):
        vae = AutoencoderKLWan()
        text = UMT5EncoderModel(
            UMT5Config(d_model=4096, d_ff=10240, d_kv=64, num_heads=64, num_layers=24, vocab_size=256384)
        )
        image = CLIPVisionModel(
            CLIPVisionConfig(
                hidden_size=1280,
                intermediate_size=5120,
                num_hidden_layers=32,
                num_attention_heads=16,
                image_size=224,
                patch_size=14,
            )
        )
    works = {
        "VAE encodes 5 x 480 x 832": lambda: vae.encode(torch.empty(1, 3, 5, 480, 832, device="meta")),
        "VAE encodes 5 x 720 x 1280": lambda: vae.encode(torch.empty(1, 3, 5, 720, 1280, device="meta")),
        "UMT5 reads 27 tokens": lambda: text(torch.zeros(1, 27, dtype=torch.long, device="meta")),
        "CLIP sees an image": lambda: image(torch.empty(1, 3, 224, 224, device="meta")),
    }
    rows = []
    for what, work in works.items():
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            work()
        rows.append({"part": "encoders", "what": what, "counted": counter.get_total_flops()})
    return rows


# Memory


def config_of(folder: str, heads: int, blocks: int, train: dict) -> Config:
    return Config(
        recipe="memory",
        models=Models(student=f"{folder}/{heads}-{blocks}"),
        optim=Optim(accumulate=RANKS, steps=STEPS),
        kd=KD(taps=(3, 5, 7)),
        train=Train(workers=RANKS, **train),
    )


def train_once(config: Config, transformer: dict) -> None:
    """Starts a sharded student and takes its steps."""
    mesh = student_mesh(config.train, "cpu", RANKS)
    trainer = StudentTrainer(config, load_student(config, CPU, mesh), device=CPU, mesh=mesh)
    batch = batch_of(config, transformer, SIDE, IMAGE)
    for _ in range(STEPS):
        trainer.step([batch])


def peak_of_a_rank(rank: int, folder: str, number: int) -> None:
    """Writes down what a student took of this process, and what was planned."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet-{number}", rank=rank, world_size=RANKS)
    heads, blocks, train = STUDENTS[number]
    train_once(config_of(folder, *SMALL, train), wan(*SMALL))
    gc.collect()
    before = resident_mib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from now
    config, transformer = config_of(folder, heads, blocks, train), wan(heads, blocks)
    train_once(config, transformer)
    reads = Reads(clip=SIDE * SIDE // 2, text=TEXT, image=IMAGE)
    plan = student_memory(config, sizes.dit(transformer), reads, workers=RANKS, image_tokens=IMAGE)
    row = {
        "part": "memory",
        "parameters": parameter_count(sizes.dit(transformer), IMAGE),
        "rank": rank,
        **{key: getattr(config.train, key) for key in ("recompute", "dtype")},
        "before_mib": round(before, 1),
        "planned_mib": round(plan.total / MIB, 1),
        "peak_mib": round(resident_mib("VmHWM") - before, 1),
    }
    write_json_atomic(f"{folder}/rss-{number}-{rank}.json", row)
    dist.destroy_process_group()


def measure_memory() -> list[dict]:
    """A row a rank and student."""
    os.environ["MALLOC_MMAP_THRESHOLD_"] = str(256 << 10)  # of the ranks, which are processes of their own
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for heads, blocks in dict.fromkeys([SMALL, *((heads, blocks) for heads, blocks, _ in STUDENTS)]):
            write_checkpoint(Path(folder, f"{heads}-{blocks}"), wan(heads, blocks))
        for number in range(len(STUDENTS)):
            mp.spawn(peak_of_a_rank, args=(folder, number), nprocs=RANKS)
            for rank in range(RANKS):
                rows.append(read_json(f"{folder}/rss-{number}-{rank}.json"))
                print(rows[-1], flush=True)
    return rows


# The wire


def measure_wire() -> list[dict]:
    """MiB a step that training ranks received, and the plan's, of runs of the tiny recipe in both payloads."""
    connect()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        config = tiny()
        config = replace(config, data=replace(config.data, store=f"{folder}/store"))
        config = replace(config, optim=replace(config.optim, steps=6, accumulate=2))
        prepare(config)
        for payload in ("bf16", "fp8"):
            run = replace(config.run, dir=f"{folder}/{payload}")
            train.run(replace(config, run=run, teacher=replace(config.teacher, payload=payload)))
            records = journal.read(Path(run.dir, "metrics.jsonl"))
            shape_KBND = (len(config.kd.taps), config.optim.batch, 32, 160)
            planned = packed_bytes(shape_KBND, payload) * config.optim.accumulate / MIB
            received = sum(record["mib"] for record in records) / len(records)
            rows.append({"part": "wire", "payload": payload, "planned_mib": planned, "received_mib": received})
    ray.shutdown()
    return rows


def errors(rows: list[dict], part: str, found: str, planned: str) -> list[float]:
    """Of each row of `part`, how far the plan is off, as a share of what was found."""
    return [abs(row[planned] / row[found] - 1) for row in rows if row["part"] == part]


def main() -> None:
    parts = {"flops": count_flops, "memory": measure_memory, "wire": measure_wire}
    asked = sys.argv[1:] or list(parts)
    rows = [row for part in asked for row in parts[part]()]
    for row in rows:
        print(row)
    if len(asked) < len(parts):
        return
    exact = [row for row in rows if row.get("what") != "training"]
    backward = [row for row in rows if row.get("what") == "training"]
    memory = errors(rows, "memory", "peak_mib", "planned_mib")
    write_result(
        "plan",
        "python benchmarks/plan.py",
        rows,
        {
            "memory_error_max": round(max(memory), 3),
            "memory_error_mean": round(sum(memory) / len(memory), 3),
            "flops_error_max": max(errors(exact, "flops", "counted", "planned")),
            "training_flops_error_max": round(max(errors(backward, "flops", "counted", "planned")), 5),
            "wire_error_max": max(errors(rows, "wire", "received_mib", "planned_mib")),
        },
    )


if __name__ == "__main__":
    main()
