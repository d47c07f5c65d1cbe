"""Runs everything that needs a GPU: `python -m benchmarks.gpu.check [--bare] [--device cpu] [--size small] [name ...]`.

The first checks are kernels and attention backends, bfloat16 against float32, and blocks of 14B's width with their
share of the GPU's peak. Then come the VAE at its true size, edits, a short training with a resume, and GB/s of what
moves. With Ray there are also a teacher pool split over GPUs, a run of ``v4e train``, NCCL under tensor parallelism and
FSDP, targets by NIXL, and captions by vLLM. Each check is a process of its own with a time limit: one that fails or
hangs does not stop the others.

`--bare` leaves out what needs Ray or vLLM. Then a checkout and torch, diffusers, transformers and safetensors are
enough, and no installation of v4e is: `python benchmarks/gpu/check.py --bare`.

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
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if not __package__:  # run by its path
    sys.path[0] = str(ROOT)

from benchmarks.gpu.bare import stand_in  # noqa: E402


@dataclass(frozen=True, kw_only=True)
class Check:
    """A function of a module in benchmarks/gpu."""

    function: str  # <module>:<function>
    limit_s: float
    bare: bool = False  # needs torch, diffusers, transformers and safetensors alone


CHECKS = {
    "attention": Check(function="attention:check", limit_s=600, bare=True),
    "taps": Check(function="taps:check", limit_s=600, bare=True),
    "block": Check(function="block:check", limit_s=600, bare=True),
    "vae": Check(function="vae:check", limit_s=600, bare=True),
    "editor": Check(function="editor:check", limit_s=600, bare=True),
    "student": Check(function="student:check", limit_s=900, bare=True),
    "traffic": Check(function="traffic:check", limit_s=900, bare=True),
    "pool": Check(function="pool:check", limit_s=900),
    "training": Check(function="training:check", limit_s=900),
    "captions": Check(function="captions:check", limit_s=1200),
    "transport": Check(function="transport:check", limit_s=600),
    "tensor_parallel": Check(function="ranks:check_tp", limit_s=900),
    "fsdp": Check(function="ranks:check_fsdp", limit_s=900),
}
MACHINE = """
import json, torch
names = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
print(json.dumps({"torch": torch.__version__, "cuda": torch.version.cuda, "gpus": names}))
"""  # in a process of its own: this one leaves the GPUs' memory alone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(CHECKS)}; all without")
    parser.add_argument("--bare", action="store_true", help="only what needs neither Ray nor vLLM nor an installation")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--size", choices=("14b", "small"), default="14b")
    parser.add_argument("--out", type=Path, default=Path("runs", "gpu-check"))
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)  # the process of the checks named
    asked = parser.parse_args()
    names = asked.names or [name for name, check in CHECKS.items() if check.bare or not asked.bare]
    if unknown := set(names) - set(CHECKS):
        parser.error(f"unknown check {', '.join(unknown)}: expected some of {', '.join(CHECKS)}")
    if asked.inside:
        for name in names:
            print(json.dumps(inside(name, asked.device, asked.size)), flush=True)
        return
    machine = json.loads(subprocess.check_output([sys.executable, "-W", "ignore", "-c", MACHINE], text=True))
    if asked.device == "cuda" and not machine["gpus"]:
        print(f"no GPU here (torch {machine['torch']}): nothing is checked; docs/gpu-checklist.md lists what would be")
        return
    asked.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in names:
        print(f"{name} ...", flush=True)
        rows.append(row_of(name, asked.device, asked.size, asked.out))
        result = {"date": time.strftime("%Y-%m-%d"), "machine": machine, "size": asked.size, "checks": rows}
        (asked.out / "result.json").write_text(json.dumps(result, indent=1))
    print(table_of(rows))
    print(f"{asked.out / 'result.json'}; logs beside it")
    sys.exit(any(row["result"] == "failed" for row in rows))


def row_of(name: str, device: str, size: str, out: Path) -> dict:
    """Runs a check in a process of its own: passed, failed, or absent with what is missing."""
    limit_s = CHECKS[name].limit_s
    asked = ["--inside", "--device", device, "--size", size, name]
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.gpu.check", *asked]
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


def inside(name: str, device: str, size: str) -> dict:
    """Returns what one check found, in this process."""
    module, _, function = CHECKS[name].function.partition(":")
    if CHECKS[name].bare:
        stand_in()
    from benchmarks.gpu.sizes import SIZES, Absent  # torch and diffusers, which the process that waits does without

    try:
        check = getattr(importlib.import_module(f"benchmarks.gpu.{module}"), function)
        return {"check": name, "result": "passed", "figures": check(device, SIZES[size])}
    except Absent as error:
        return {"check": name, "result": "absent", "why": str(error)}
    except Exception as error:  # whatever it is, the next check goes on
        traceback.print_exc()
        return {"check": name, "result": "failed", "why": f"{type(error).__name__}: {error}".splitlines()[0]}


def table_of(rows: list[dict]) -> str:
    """Returns the table for people."""
    lines = [f"{'check':16}{'result':8}{'seconds':>8}  figures"]
    for row in rows:
        figures = row.get("figures") or {"": row.get("why", "")}
        shown = [f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in figures.items()]
        lines.append(f"{row['check']:16}{row['result']:8}{row['seconds']:8.0f}  {shown[0].strip()}")
        lines += [f"{'':34}{line}" for line in shown[1:]]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
