"""benchmarks/gpu/check.py on the CPU: the code that GPUs will run, up to CUDA; and what it does without a GPU."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import attention, block, ranks, sizes, taps
from benchmarks.gpu import check as gpu_check
from benchmarks.gpu.sizes import SIZES, Absent
from tests.support.processes import ROOT
from v4e.models.sizes import dit
from v4e.planning.gpus import GPUS
from v4e.planning.work import Reads, block_flops, embedding_flops, tapped_flops, training_flops

SMALL = SIZES["small"]
CLI = [sys.executable, "-W", "ignore", "-m", "benchmarks.gpu.check"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.slow
def test_without_a_gpu_it_says_so_and_runs_nothing(tmp_path):
    done = subprocess.run([*CLI, "--out", str(tmp_path / "out")], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("no GPU here") and not (tmp_path / "out").exists()


def test_backends_that_work_here_are_measured_and_the_others_say_why_not():
    found = attention.check("cpu", SMALL)
    assert 0 < float(found["native error"]) < sizes.BF16
    assert str(found["_flash_3"]).startswith("not here: ")


@pytest.mark.slow
def test_taps_in_bfloat16_are_near_float32_and_a_wrong_weight_is_not(monkeypatch):
    found = taps.check("cpu", SMALL)
    assert 0 < float(found["native tap error"]) < sizes.BF16
    made = sizes.made

    def wrong(size, dtype, *rest):
        model = made(size, dtype, *rest)
        if dtype == "bfloat16":
            model.blocks[1].attn1.norm_k.weight.data *= 0.8
        return model

    monkeypatch.setattr(taps, "made", wrong)
    with pytest.raises(AssertionError, match=r"native's .* error is .*, expected at most 0\.03"):
        taps.check("cpu", SMALL)


@pytest.mark.slow
def test_a_blocks_flops_are_the_plans_formulas():
    found = block.check("cpu", SMALL)
    assert float(found["training TFLOP/s"]) > 0 and float(found["teacher TFLOP/s"]) > 0
    of, reads = dit(SMALL.transformer), Reads(clip=SMALL.tokens, text=512, image=SMALL.image_tokens)
    (lean, target), (full, _) = (block.works(SMALL, block.META, "native", way) for way in ("none", "full"))
    assert block.flops_of(target) == tapped_flops(of, reads, (SMALL.blocks - 1,))
    assert block.flops_of(full) - block.flops_of(lean) == SMALL.blocks * block_flops(of, reads)
    whole = training_flops(of, reads, recompute=False)
    assert whole - embedding_flops(of, reads) < block.flops_of(lean) <= whole  # nothing flows back into the inputs


@pytest.mark.parametrize(
    ("name", "sheet"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA L40S", "l40s"),
        ("NVIDIA L4", "l4"),
        ("NVIDIA T4", ""),
    ],
)
def test_a_gpus_data_sheet_is_found_by_its_name(monkeypatch, name, sheet):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: name)
    assert block.sheet() == sheet and (not sheet or sheet in GPUS)


@pytest.mark.slow
@pytest.mark.parametrize("check", [ranks.check_tp, ranks.check_fsdp])
def test_two_ranks_give_what_one_gives(check):
    assert all(float(value) < 0.03 for name, value in check("cpu", SMALL).items() if name != "loss")


def test_one_gpu_is_too_few_for_two_ranks():
    if torch.cuda.device_count() < 2:
        with pytest.raises(Absent, match="needs 2 GPUs, found"):
            ranks.check_tp("cuda", SMALL)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize("name", ["training", "captions", "transport"])
def test_a_check_in_a_process_of_its_own(name, tmp_path):
    row = gpu_check.row_of(name, "cpu", "small", tmp_path)
    assert row["result"] == "passed" or (name != "training" and row["result"] == "absent"), (
        row,
        (tmp_path / f"{name}.log").read_text()[-3000:],
    )


@pytest.mark.slow
def test_a_check_that_hangs_or_dies_fails_alone(tmp_path, monkeypatch):
    monkeypatch.setitem(gpu_check.CHECKS, "block", (gpu_check.CHECKS["block"][0], 0.2))
    assert gpu_check.row_of("block", "cpu", "small", tmp_path)["why"] == "not done after 0.2 s"
    monkeypatch.setitem(gpu_check.CHECKS, "nothing", ("nothing:check", 60))
    row = gpu_check.row_of("nothing", "cpu", "small", tmp_path)
    assert row["result"] == "failed" and "ended with 2" in row["why"]
    json.dumps(row)


def test_the_checklist_names_every_check():
    text = Path(ROOT, "docs", "gpu-checklist.md").read_text()
    assert set(gpu_check.CHECKS) <= set(re.findall(r"`(\w+)`", text))
