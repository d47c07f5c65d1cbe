"""The plan against what it plans: FLOPs, memory, and bytes on the wire.

FLOPs of the true Wan2.1-14B classes on the meta device, as torch's counter has them. Memory of whole processes at
several sizes (benchmarks/training/student_memory.py). Bytes as runs of the tiny recipe with a real teacher pool
received them, and the peaks of its processes.
`python -m benchmarks.training.plan [flops] [memory] [wire]` does only these, and keeps the rows of the others.
"""

import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import ray
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPVisionConfig, CLIPVisionModel, UMT5Config, UMT5EncoderModel

from actors.cluster import connect
from benchmarks.support.resident import resident_mib
from benchmarks.support.result import RESULTS, write_result
from benchmarks.training import student_memory
from benchmarks.training.payload import prepare
from pipelines.stages import train
from v4e.config import Config, tiny
from v4e.files import journal
from v4e.files.uri import read_json
from v4e.models import sizes
from v4e.models.dit import DitInputs, hidden_states, predict
from v4e.planning.layout import process_gib, work_for
from v4e.planning.work import MIB, Reads, clip_tokens, forward_flops, tapped_flops, training_flops
from v4e.wire import packed_bytes

IMAGE = 257  # tokens of one
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
                DitInputs(
                    y_BCFHW=torch.empty(1, 20, *grid_FHW, device="meta"),
                    text=[torch.empty(9, of.text_width, device="meta")],
                    image_BID=torch.empty(1, reads.image, of.image_width, device="meta"),
                ),
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
    """Counts, on the meta device, the clip costs of v4e/planning/simulation/costs.py: Wan2.1's VAE, UMT5-XXL and CLIP
    ViT-H.
    """
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


# The wire, and the processes at its ends

PROCESSES = {"training": "ray::RayTrainWorker", "teaching": "ray::Replica"}  # to the titles that Ray gives them


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
            with peaks(PROCESSES.values()) as found:
                train.run(replace(config, run=run, teacher=replace(config.teacher, payload=payload)))
            records = journal.read(Path(run.dir, "metrics.jsonl"))
            shape_KBND = (len(config.kd.taps), config.optim.batch, 32, 160)
            planned = packed_bytes(shape_KBND, payload) * config.optim.accumulate / MIB
            received = sum(record["mib"] for record in records) / len(records)
            rows.append({"part": "wire", "payload": payload, "planned_mib": planned, "received_mib": received})
        rows += [
            {"part": "process", "side": side, "peak_mib": found[name], "planned_mib": 1024 * planned_gib(config, side)}
            for side, name in PROCESSES.items()
        ]
    ray.shutdown()
    return rows


def planned_gib(config: Config, side: str) -> float:
    """Returns the planned GiB of a whole process of the tiny recipe."""
    student, teacher = (sizes.pipeline(folder, "models") for folder in (config.models.student, config.models.teacher))
    return process_gib(config, student, teacher, work_for(config, student, teacher))[side]["peak"]


@contextmanager
def peaks(names: Iterable[str]) -> Iterator[dict[str, float]]:
    """MiB that processes whose titles begin with `names` have had in use at most; looked up while the block runs."""
    found, ended = dict.fromkeys(names, 0.0), threading.Event()

    def look() -> None:
        while not ended.wait(0.2):
            for process in psutil.process_iter(["cmdline"]):
                title = " ".join(process.info["cmdline"] or ())
                for name in filter(title.startswith, found):
                    with suppress(OSError, KeyError):  # it has ended, or is about to
                        found[name] = max(found[name], resident_mib("VmHWM", process.pid))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


MEMORY = ("memory", "whole_mib", "whole_planned_mib")


def errors(rows: list[dict], part: str, found: str, planned: str) -> list[float]:
    """Returns how far the plan is off for each row of `part`, as a share of what was found."""
    return [abs(row[planned] / row[found] - 1) for row in rows if row["part"] == part and planned in row]


def main() -> None:
    parts = {"flops": count_flops, "memory": student_memory.measure, "wire": measure_wire}
    asked = sys.argv[1:] or list(parts)
    file = RESULTS / "plan.json"
    old = read_json(str(file))["rows"] if file.exists() else []
    of = {"encoders": "flops", "process": "wire"}
    rows = [row for row in old if of.get(row["part"], row["part"]) not in asked]
    for part in asked:
        rows += parts[part]()
    backward = [row for row in rows if row.get("what") == "training"]
    exact = [row for row in rows if row.get("what") != "training"]
    halves = [row for row in rows if row.get("dtype") == "bfloat16"]  # oneDNN holds copies that no GPU does
    summary = {
        "memory_error_max": errors([row for row in rows if row not in halves], *MEMORY),
        "memory_error_max_bfloat16": errors(halves, *MEMORY),
        "flops_error_max": errors(exact, "flops", "counted", "planned"),
        "training_flops_error_max": errors(backward, "flops", "counted", "planned"),
        "wire_error_max": errors(rows, "wire", "received_mib", "planned_mib"),
        "process_error_max": errors(rows, "process", "peak_mib", "planned_mib"),
    }
    write_result(
        "plan",
        "python -m benchmarks.training.plan",
        rows,
        {key: round(max(found), 5) for key, found in summary.items() if found},
    )


if __name__ == "__main__":
    main()
