"""benchmarks/gpu/check.py on the CPU: the code that GPUs will run, up to CUDA; and what it does without a GPU.

The checks run in this process, at a small size: an import takes longer than most of them.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import attention, block, editor, ranks, sizes, student, taps, traffic, vae
from benchmarks.gpu import check as gpu_check
from benchmarks.gpu.sizes import SIZES, Absent
from tests.support import ranks as forked
from tests.support.bare import bare_python
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
    assert 0 < float(found["native teacher tap error"]) < sizes.BF16
    made = sizes.made

    def wrong(size, dtype, *rest, **more):
        model = made(size, dtype, *rest, **more)
        if dtype == "bfloat16":
            model.blocks[1].attn1.norm_k.weight.data *= 0.8
        return model

    monkeypatch.setattr(taps, "made", wrong)
    with pytest.raises(AssertionError, match=r"native's .* error is .*, expected at most 0\.03"):
        taps.check("cpu", SMALL)


@pytest.mark.long
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


@pytest.mark.long
@pytest.mark.slow
def test_the_vae_of_true_size_is_timed_and_its_pixel_tail_has_a_gradient():
    found = vae.check("cpu", SMALL)
    assert float(found["error by frames 16 x 16"]) < vae.EXACT
    assert {f"{what} 16 x 16 s" for what in ("encode", "decode", "pixel tail")} <= found.keys()


@pytest.mark.slow
def test_an_edit_is_the_stock_pipelines_and_another_shift_is_not(monkeypatch):
    assert float(editor.check("cpu", SMALL)["float32 guided: levels apart"]) <= 1
    settings = editor.EditSettings
    monkeypatch.setattr(editor, "EditSettings", lambda **fields: settings(**fields, shift=1.0))
    with pytest.raises(AssertionError, match="plain in float32 is"):
        editor.check("cpu", SMALL)


@pytest.mark.long
@pytest.mark.slow
def test_a_short_training_has_equal_losses_resumed_and_with_moments_on_the_host():
    found = student.check("cpu", SMALL)
    assert found["FSDP against load_dit in bfloat16"] == 0
    assert found["resumed against uninterrupted"] == found["host against device"] == 0
    assert "LoRA: loss" in found and str(found["flash"]).startswith("not here: ")


@pytest.mark.slow
def test_traffic_is_measured():
    found = traffic.check("cpu", SMALL)
    rates = ["moments GB/s", "checkpoint written GB/s", "checkpoint read GB/s", "target to host, pageable GB/s"]
    assert all(float(found[name]) > 0 for name in rates)


@pytest.mark.slow
@pytest.mark.parametrize("check", [ranks.check_tp, pytest.param(ranks.check_fsdp, marks=pytest.mark.long)])
def test_two_ranks_give_what_one_gives(check, monkeypatch):
    monkeypatch.setattr(ranks.mp, "spawn", lambda main, args, nprocs: forked.run(main, nprocs, *args))
    assert all(float(value) < 0.03 for name, value in check("cpu", SMALL).items() if name != "loss")


def test_one_gpu_is_too_few_for_two_ranks():
    if torch.cuda.device_count() < 2:
        with pytest.raises(Absent, match="needs 2 GPUs, found"):
            ranks.check_tp("cuda", SMALL)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.ray
def test_a_pool_of_two_ranks_answers_as_one(cluster, monkeypatch):
    from benchmarks.gpu import pool

    monkeypatch.setattr(pool, "ANSWER_S", 60.0)  # this machine may be busy
    found = pool.check("cpu", SMALL)
    assert found["ranks"] == 2 and found["devices"] == "cpu cpu"


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.ray
def test_a_run_of_train_resumes_with_equal_losses(cluster):
    from benchmarks.gpu import training

    assert training.check("cpu", SMALL)["resumed against uninterrupted"] == 0


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize("name", ["captions", "transport"])
def test_a_check_in_a_process_of_its_own(name, tmp_path):
    row = gpu_check.row_of(name, "cpu", "small", tmp_path)
    assert row["result"] in ("passed", "absent"), (row, (tmp_path / f"{name}.log").read_text()[-3000:])


@pytest.mark.slow
def test_a_check_that_hangs_or_dies_fails_alone(tmp_path, monkeypatch):
    monkeypatch.setitem(gpu_check.CHECKS, "block", gpu_check.Check(function="block:check", limit_s=0.2))
    assert gpu_check.row_of("block", "cpu", "small", tmp_path)["why"] == "not done after 0.2 s"
    monkeypatch.setitem(gpu_check.CHECKS, "nothing", gpu_check.Check(function="nothing:check", limit_s=60))
    row = gpu_check.row_of("nothing", "cpu", "small", tmp_path)
    assert row["result"] == "failed" and "ended with 2" in row["why"]
    json.dumps(row)
    assert "nothing         failed" in gpu_check.table_of([row])


@pytest.mark.long
@pytest.mark.slow
def test_the_bare_checks_need_nothing_else(tmp_path):
    """All of them in one process of a Python without ray, vllm, rich, pyarrow, accelerate, peft, ftfy and v4e."""
    python = bare_python(tmp_path / "venv")
    names = [name for name, check in gpu_check.CHECKS.items() if check.bare]
    script = [str(ROOT / "benchmarks" / "gpu" / "check.py"), "--bare", "--inside", "--device", "cpu", "--size", "small"]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    absent = subprocess.run([python, "-c", "import rich"], env=env, capture_output=True, text=True)
    assert "No module named 'rich'" in absent.stderr
    done = subprocess.run(
        [python, "-W", "ignore", *script], env=env, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [row["check"] for row in rows] == names
    assert all(row["result"] == "passed" for row in rows), (rows, done.stderr[-3000:])


def test_the_checklist_names_every_check():
    text = Path(ROOT, "docs", "gpu-checklist.md").read_text()
    assert set(gpu_check.CHECKS) <= set(re.findall(r"`(\w+)`", text))
