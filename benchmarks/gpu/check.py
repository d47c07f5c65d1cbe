"""Runs everything that needs a GPU: `python -m benchmarks.gpu.check [--device cpu] [--size small] [name ...]`.

The checks are kernels and attention backends, bfloat16 against float32, NCCL under tensor parallelism and FSDP, and
targets by NIXL. Others are captions by vLLM, a tiny training run, and blocks of 14B's width with their share of the
GPU's peak. Each check is a process of its own with a time limit: one that fails or hangs does not stop the others.
Without a GPU the program prints that and runs nothing. With --device cpu it runs the same code on the CPU, where
--size small is advised.

It writes runs/gpu-check/result.json and a log of each check beside it, and prints a table. The exit status is 1 if a
check failed.
"""

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

from rich.table import Table

from benchmarks.gpu.sizes import SIZES, Absent
from v4e.files.progress import console, say
from v4e.files.uri import write_json_atomic

ROOT = Path(__file__).resolve().parent.parent.parent
CHECKS = {  # name: its function, seconds that it may take
    "attention": ("attention:check", 600),
    "taps": ("taps:check", 600),
    "block": ("block:check", 600),
    "training": ("training:check", 900),
    "captions": ("captions:check", 1200),
    "transport": ("transport:check", 600),
    "tensor_parallel": ("ranks:check_tp", 900),
    "fsdp": ("ranks:check_fsdp", 900),
}
MACHINE = """
import json, torch
names = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
print(json.dumps({"torch": torch.__version__, "cuda": torch.version.cuda, "gpus": names}))
"""  # in a process of its own: this one leaves the GPUs' memory alone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(CHECKS)}; all without")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--size", choices=tuple(SIZES), default="14b")
    parser.add_argument("--out", type=Path, default=Path("runs", "gpu-check"))
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)  # the process of one check
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(CHECKS):
        parser.error(f"unknown check {', '.join(unknown)}: expected some of {', '.join(CHECKS)}")
    if asked.inside:
        inside(asked.names[0], asked.device, asked.size)
        return
    machine = json.loads(subprocess.check_output([sys.executable, "-W", "ignore", "-c", MACHINE], text=True))
    if asked.device == "cuda" and not machine["gpus"]:
        say(f"no GPU here (torch {machine['torch']}): nothing is checked; docs/gpu-checklist.md lists what would be")
        return
    asked.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in asked.names or CHECKS:
        say(f"{name} ...")
        rows.append(row_of(name, asked.device, asked.size, asked.out))
        write_json_atomic(asked.out / "result.json", {"machine": machine, "size": asked.size, "checks": rows})
    console.print(table_of(rows))
    say(f"{asked.out / 'result.json'}; logs beside it")
    sys.exit(any(row["result"] == "failed" for row in rows))


def row_of(name: str, device: str, size: str, out: Path) -> dict:
    """Runs a check in a process of its own: passed, failed, or absent with what is missing."""
    limit_s = CHECKS[name][1]
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "benchmarks.gpu.check",
        "--inside",
        "--device",
        device,
        "--size",
        size,
        name,
    ]
    log, start = out / f"{name}.log", time.monotonic()
    with log.open("w") as file:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=file, text=True, cwd=ROOT, start_new_session=True
        )
        try:
            output, _ = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            output += json.dumps({"result": "failed", "why": f"not done after {limit_s} s"}) + "\n"
        file.write(output)
    row = {"check": name, "seconds": round(time.monotonic() - start, 1)}
    try:
        return row | json.loads(output.splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        return row | {"result": "failed", "why": f"its process ended with {process.returncode}: see {log}"}


def inside(name: str, device: str, size: str) -> None:
    """One check; the last line that it prints is what it found."""
    module, _, function = CHECKS[name][0].partition(":")
    try:
        check = getattr(importlib.import_module(f"benchmarks.gpu.{module}"), function)
        found = {"result": "passed", "figures": check(device, SIZES[size])}
    except Absent as error:
        found = {"result": "absent", "why": str(error)}
    except Exception as error:  # whatever it is, the next check goes on
        traceback.print_exc()
        found = {"result": "failed", "why": f"{type(error).__name__}: {error}".splitlines()[0]}
    print(json.dumps(found), flush=True)


def table_of(rows: list[dict]) -> Table:
    """Returns the table for people."""
    table = Table("check", "result", "seconds", "figures", title="GPU check", title_justify="left")
    for row in rows:
        figures = "\n".join(
            f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.get("figures", {}).items()
        )
        table.add_row(row["check"], row["result"], f"{row['seconds']:.0f}", figures or row.get("why", ""))
    return table


if __name__ == "__main__":
    main()
