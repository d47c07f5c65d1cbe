"""The plan's arithmetic: FLOPs as torch counts them on the meta device, bytes, and the pace of simulated runs."""

import heapq
import json
import re
from dataclasses import replace
from functools import partial
from itertools import count, product
from pathlib import Path

import pytest
import torch
from diffusers import WanTransformer3DModel
from torch.utils.flop_counter import FlopCounterMode

from pipelines.parts.command import main
from pipelines.stages.plan import run
from tests.support.synthetic import LATENT, config, sample
from v4e.config import parse
from v4e.models import dit as models_dit
from v4e.models import sizes, tiny
from v4e.models.attention import fold_pads
from v4e.models.dit import DitInputs, hidden_states, predict
from v4e.planning import work as plan
from v4e.planning.work import Reads, Speed, pace_of, seconds_of, tapped_flops, text_tokens, training_flops, work_of
from v4e.planning.work_table import advice, compared, stream_row

ROOT = Path(__file__).parent.parent.parent
TINY_I2V = {**tiny.DIT, "pos_embed_seq_len": None}
TINY_FLF2V = {**tiny.DIT, "pos_embed_seq_len": 2 * tiny.IMAGE_TOKENS}
# transformer, F H W of the latents, tokens of an image
MODELS = {
    "tiny I2V": (TINY_I2V, (2, 8, 8), tiny.IMAGE_TOKENS),
    "tiny FLF2V": (TINY_FLF2V, (3, 10, 6), tiny.IMAGE_TOKENS),
    "14B I2V": (sizes.WAN14B_I2V, (2, 60, 104), 257),
    "14B FLF2V": (sizes.WAN14B_FLF2V, (2, 90, 160), 257),
}
NEVER = 10**9
SPEEDS = ("plan.train_tflops=396", "plan.infer_tflops=640")


def on_meta(transformer, grid_FHW, image_tokens: int, batch: int, text: list[int], *, fold: bool = False):
    """A DiT without memory, the inputs of ``predict``, and what one sample of them is."""
    with torch.device("meta"):
        model = WanTransformer3DModel(**transformer)
    if fold:
        fold_pads(model)
    of = sizes.dit(transformer)

    def empty(*shape: int) -> torch.Tensor:
        return torch.empty(*shape, device="meta")

    inputs = (
        empty(batch, of.channels_out, *grid_FHW),
        empty(batch),
        DitInputs(
            y_BCFHW=empty(batch, of.channels_in - of.channels_out, *grid_FHW),
            text=[empty(length, of.text_width) for length in text],
            image_BID=empty(batch, of.images * image_tokens, of.image_width),
        ),
    )
    reads = Reads(
        clip=plan.clip_tokens(of, grid_FHW),
        text=text_tokens(max(text), fold=fold),
        image=of.images * image_tokens,
    )
    return model, inputs, of, reads


LARGE_AND_LONG = [
    pytest.param(n, marks=pytest.mark.long) if n == "14B I2V" else n for n in MODELS
]  # FLF2V has its parts


@pytest.mark.parametrize("name", LARGE_AND_LONG)
@torch.no_grad()
@pytest.mark.slow
def test_forwards_are_counted_exactly(name):
    model, inputs, of, reads = on_meta(*MODELS[name], 2, [5, 9])
    with FlopCounterMode(display=False) as counter:
        _, [h_BND] = predict(model, *inputs, taps=(0,))
    assert h_BND.shape[1] == reads.clip
    assert counter.get_total_flops() == 2 * plan.forward_flops(of, reads)
    blocks = counter.get_flop_counts()
    assert sum(blocks["WanTransformer3DModel.blocks.3"].values()) == 2 * plan.block_flops(of, reads)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("taps", [(0,), (1, 4)])
@torch.no_grad()
def test_a_teachers_forward_is_counted_to_its_last_tap(name, taps):
    model, inputs, of, reads = on_meta(*MODELS[name], 1, [7])
    with FlopCounterMode(display=False) as counter:
        hidden_states(model, *inputs, taps=taps)
    assert counter.get_total_flops() == tapped_flops(of, reads, taps) < plan.forward_flops(of, reads)


@pytest.mark.parametrize("name", LARGE_AND_LONG)
@torch.no_grad()
@pytest.mark.slow
def test_folded_pads_are_no_work(name):
    model, inputs, of, reads = on_meta(*MODELS[name], 2, [20, 31], fold=True)
    assert reads.text == 32
    with FlopCounterMode(display=False) as counter:
        predict(model, *inputs)
    assert counter.get_total_flops() == 2 * plan.forward_flops(of, reads)


@pytest.mark.parametrize("recompute", [pytest.param(False, marks=pytest.mark.long), True])
def test_a_backward_is_two_forwards_but_for_what_needs_no_gradient(recompute):
    """Nothing flows back into the inputs, and the embeddings are not computed twice: a per mille less."""
    transformer, *shapes = MODELS["14B I2V"]
    model, inputs, of, reads = on_meta({**transformer, "num_layers": 8}, *shapes, 1, [7])
    if recompute:
        model.enable_gradient_checkpointing()
    with FlopCounterMode(display=False) as counter:
        predict(model.train(), *inputs)[0].sum().backward()
    assert counter.get_total_flops() == pytest.approx(training_flops(of, reads, recompute=recompute), rel=0.002)


def test_text_is_what_the_model_reads():
    for fold, lengths in product((False, True), ([3, 9], [512], [511, 2])):
        text_BTD, _ = models_dit.pack_text([torch.zeros(length, 4) for length in lengths], fold=fold)
        assert text_tokens(max(lengths), fold=fold) == text_BTD.shape[1]


def test_tensor_parallel_ranks_split_the_blocks_only():
    of, reads = sizes.dit(sizes.WAN14B_FLF2V), Reads(clip=7200, text=512, image=514)
    whole, shared = tapped_flops(of, reads, (9, 29)), plan.embedding_flops(of, reads)
    assert whole - shared == 30 * plan.block_flops(of, reads)
    for tp in (2, 4, 8):
        assert tp * (tapped_flops(of, reads, (9, 29), tp) - shared) == whole - shared


def test_the_tables_of_the_reference_come_out():
    """TFLOP of a 14B forward with one image's tokens, as counted for 832 x 480 and 1280 x 720 with 5 and 25 frames."""
    of = sizes.dit(sizes.WAN14B_I2V)
    for tokens, tera in ((3120, 87.8), (10920, 368.9), (7200, 222.4), (25200, 1142.0)):
        found = plan.forward_flops(of, Reads(clip=tokens, text=512, image=257)) / 1e12
        assert found == pytest.approx(tera, abs=0.5 if tera > 1000 else 0.05)


# What a sample of a recipe costs


def work(settings, *, student=sizes.WAN14B_I2V, teacher=sizes.WAN14B_FLF2V, grid_FHW=(2, 90, 160)):
    return work_of(
        settings,
        sizes.dit(student),
        sizes.dit(teacher),
        grid_FHW=grid_FHW,
        image_tokens=257,
        instruction=12,
        evolution=27,
    )


def test_the_students_own_sampling_is_half_of_its_way_for_half_of_a_batch():
    asked = ["recipe=wan14b_480p", "optim.batch=2", "train.recompute=none"]
    own = (("rollout", "recorded"), ("mixed", "recorded"), ("mixed", "hindsight"))
    kinds = (parse([*asked, f"distill.states={states}", f"distill.shown={shown}"]) for states, shown in own)
    plain, mixed, hindsight = (work(kind).student_flops for kind in kinds)
    assert mixed / plain == pytest.approx((3 + 0.5 * 3.5) / 3)
    assert hindsight / plain == pytest.approx((3 + 0.5 * 8) / 3), "it goes the whole way"


@pytest.mark.parametrize("taps", [(0,), (9, 23), (9, 19, 29, 39)])
@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
def test_balance_is_the_teachers_blocks_over_three_or_four_forwards(taps, recompute):
    settings = parse(["recipe=wan14b_720p", f"train.recompute={recompute}"])
    found = work(replace(settings, kd=replace(settings.kd, taps=taps)))
    assert found.balance == pytest.approx((taps[-1] + 1) / 40 / (4 if recompute == "full" else 3), rel=0.03)
    assert found.teacher_reads == Reads(clip=7200, text=512, image=514)
    assert found.student_reads == Reads(clip=7200, text=512, image=257)


def test_the_teacher_reads_the_text_it_is_told_to():
    settings = parse([])
    assert (work(settings).teacher_reads.text, work(settings).student_reads.text) == (28, 13)
    plain = replace(settings, teacher=replace(settings.teacher, text="instruction"))
    assert work(plain).teacher_reads.text == 13
    unfolded = replace(settings, models=replace(settings.models, fold_pad=False))
    assert work(unfolded).teacher_reads.text == work(unfolded).student_reads.text == 512


def test_without_distillation_nothing_travels_and_no_teacher_works():
    found = work(parse(["recipe=wan14b_480p", "kd.weight=0"]))
    assert (found.teacher_flops, found.target_bytes, found.balance) == (0, 0, 0.0)
    settings = parse(["kd.weight=0"])
    pace = pace_of(settings, 0, 2.0, 0.0, 1)
    assert (pace.wait, pace.busy, pace.mib_per_s, pace.replicas) == (0.0, 0.0, 0.0, 0)
    assert pace.step_s == 2.0 * settings.optim.accumulate


@pytest.mark.parametrize(
    ("options", "tokens", "size", "reason"),
    [
        ({}, 7200, 2 * 5120, r"7200 tokens \(2 latent frames\) x 2 bytes \(bf16\) x 5120;"),
        (
            {"payload": "fp8"},
            7200,
            5124,
            r"7200 tokens \(2 latent frames\) x \(5120 \+ 4\) bytes \(fp8 and its scale\);",
        ),
        ({"tokens": "tail"}, 3600, 2 * 5120, r"3600 tokens \(the last of 2 latent frames\) x 2 bytes"),
        ({"tokens": "tail", "payload": "fp8"}, 3600, 5124, r"3600 tokens \(the last .*\) x \(5120 \+ 4\) bytes"),
    ],
)
def test_the_plan_says_what_a_target_weighs_and_why(options, tokens, size, reason):
    settings = config(teacher={"prefetch": 3, **options}, train={"workers": 2}, optim={"batch": 1, "accumulate": 8})
    found = work(settings)  # Wan2.1-14B on 5 frames of 1280 x 720
    assert found.target_bytes == 3 * tokens * size
    row, mib = stream_row(found, settings, 2), 3 * tokens * size / 2**20
    assert row.startswith(f"{mib:.2f} MiB a target = 3 taps x 1 samples x ")
    assert re.search(reason, row)
    assert row.endswith(f"; {8 * mib:.2f} MiB a step; at most 2 ranks x 3 ahead = {6 * mib:.2f} MiB held")


# Pace


def simulated(workers: int, prefetch: int, replicas: int, student_s: int, teacher_s: int, *, lockstep: bool) -> float:
    """Seconds a batch, of events and no formula; in `lockstep` workers begin each batch together."""
    batches, free = 600, [0] * replicas  # when each replica is
    got: list[list[int]] = [[] for _ in range(workers)]
    order = count()  # who asks first is answered first
    asks = [(0, next(order), worker) for _ in range(prefetch) for worker in range(workers)]
    ends: list[list[int]] = [[0] for _ in range(workers)]
    while len(ends[0]) < batches:
        now, _, worker = heapq.heappop(asks)
        start = max(now, heapq.heappop(free))
        heapq.heappush(free, start + teacher_s)
        got[worker].append(start + teacher_s)
        ready = range(workers) if lockstep else [worker]
        while all(len(got[w]) >= len(ends[w]) for w in ready):
            together = max(got[w][len(ends[w]) - 1] for w in ready)
            for w in ready:
                ends[w].append(max(together, ends[w][-1]) + student_s)
                heapq.heappush(asks, (ends[w][-1], next(order), w))
    return (ends[0][batches - 1] - ends[0][batches // 2]) / (batches - 1 - batches // 2)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 3, 8])
@pytest.mark.parametrize("prefetch", [1, 2, 4])
@pytest.mark.parametrize("replicas", [1, 2, 3, 5])
def test_pace_is_that_of_a_simulated_run(workers, prefetch, replicas):
    for student_s, teacher_s in product((2, 5, 12), (1, 4, 9, 30)):
        settings = config(train={"workers": workers}, teacher={"prefetch": prefetch}, optim={"accumulate": workers})
        found = pace_of(settings, 2**20, student_s, teacher_s, replicas)
        run = partial(simulated, workers, prefetch, replicas, student_s, teacher_s)
        free, together = run(lockstep=False), run(lockstep=True)
        assert free == pytest.approx(found.step_s, rel=0.01)
        assert together >= found.step_s * 0.99
        if prefetch > 1:
            assert together <= found.step_s * {2: 1.26, 4: 1.01}[prefetch]
        assert found.mib_per_s == pytest.approx(workers / found.step_s)
        assert found.wait == pytest.approx(1 - student_s / found.step_s)


def test_so_many_replicas_and_targets_ahead_hide_the_teacher_and_no_fewer():
    for workers, student_s, teacher_s in product((1, 2, 4, 8), (1.0, 2.5, 3.0), (0.5, 1.0, 2.0, 7.0)):

        def wait(replicas: int, prefetch: int, workers=workers, student_s=student_s, teacher_s=teacher_s) -> float:
            settings = config(train={"workers": workers}, teacher={"prefetch": prefetch}, optim={"accumulate": 8})
            return pace_of(settings, 1, student_s, teacher_s, replicas).wait

        needs = pace_of(config(optim={"accumulate": 8}, train={"workers": workers}), 1, student_s, teacher_s, 1)
        assert wait(needs.replicas, needs.prefetch) == pytest.approx(0, abs=1e-9)
        assert needs.replicas == 1 or wait(needs.replicas - 1, NEVER) > 1e-6
        assert needs.prefetch == 1 or wait(NEVER, needs.prefetch - 1) > 1e-6


def test_seconds_follow_from_speeds():
    settings = parse(["recipe=wan14b_720p", "optim.batch=2"])
    student_s, teacher_s = seconds_of(settings, work(settings), Speed(train=396, infer=640))
    assert student_s == pytest.approx(2 * work(settings).student_flops / 396e12)
    assert teacher_s == pytest.approx(2 * work(settings).teacher_flops / 640e12)


# The run against its plan


def record(seconds: float, wait_s: float, teacher_s: float, replicas: int = 1) -> dict[str, float | int]:
    return {
        "seconds": seconds,
        "wait_s": wait_s,
        "io_s": 0.5,
        "teacher_s": teacher_s,
        "mib": 30.0,
        "replicas": replicas,
    }


def test_a_run_is_compared_with_its_plan():
    settings = config(optim={"accumulate": 4}, train={"workers": 2})
    planned = work(settings)
    rows = compared(planned, settings, [record(4.0, 1.5, 4.0), record(6.0, 3.5, 8.0)])
    # 2 s of training a step in 2 batches of each worker; 12 s of the teacher for 8 targets.
    assert rows["student"].startswith("2 s a step")
    assert rows["teacher"].startswith("1.5 s a target of 2 samples")
    assert rows["balance"] == f"1.50 of the student's time for the teacher; {planned.balance:.2f} by FLOPs"
    pace = pace_of(settings, planned.target_bytes, 1.0, planned.balance, 1)
    assert rows["stream"].startswith(f"6.0 MiB/s; {pace.mib_per_s:.1f} by the plan")
    assert rows["wait"].startswith("50% of the students' time; 0% by the plan")
    assert rows["advice"] == "the teacher is the bottleneck: teacher.max_replicas=3 would keep up"


def test_a_pool_that_starts_again_is_compared_all_the_same():
    settings = config(optim={"accumulate": 4}, train={"workers": 2})
    rows = compared(work(settings), settings, [record(4.0, 0.0, 0.0, replicas=0), record(4.0, 0.0, 2.0, replicas=0)])
    assert rows["teacher"].startswith("0.25 s a target")
    assert rows["advice"] == "the teacher keeps up and is idle 75% of the time"


@pytest.mark.parametrize(
    ("student_s", "teacher_s", "replicas", "prefetch", "words"),
    [
        (4.0, 1.0, 1, 4, "the teacher keeps up and is idle 75% of the time"),
        (4.0, 1.0, 3, 4, "the teacher keeps up and is idle 92% of the time; teacher.replicas=1 would do"),
        (1.0, 2.5, 1, 9, "the teacher is the bottleneck: teacher.max_replicas=3 would keep up"),
        (1.0, 1.0, 1, 1, "requested too late: teacher.prefetch=2 would hide it"),
    ],
)
def test_advice_names_the_setting_that_helps(student_s, teacher_s, replicas, prefetch, words):
    settings = config(teacher={"prefetch": prefetch, "replicas": replicas}, optim={"accumulate": 1})
    pace = pace_of(settings, 1, student_s, teacher_s, replicas)
    assert advice(pace, pace.wait, pace.busy, settings, replicas).endswith(words)


def test_a_pool_that_may_grow_is_planned_at_the_size_that_it_comes_to(capsys):
    for replicas, most, size in ((1, 0, 1), (1, 2, 2), (1, 9, 2), (4, 9, 4)):
        settings = parse(
            ["recipe=wan14b_480p", f"teacher.replicas={replicas}", f"teacher.max_replicas={most}", *SPEEDS]
        )
        run(replace(settings, plan=replace(settings.plan, json=True)))
        found = json.loads(capsys.readouterr().out)
        assert found["replicas"] == size
        assert (found["pace"]["wait"] == 0) == (size >= 2)
    pace = pace_of(settings, 1, 1.0, 0.5, 1)  # 8 workers: 4 replicas, and it may have 9
    assert advice(pace, 0.5, 1.0, settings, 1).endswith("teacher.replicas=4 would keep up")


def test_a_wait_that_is_not_the_teachers_is_not_blamed_on_it():
    settings = config()
    pace = pace_of(settings, 1, 1.0, 0.1, 1)
    assert "is idle 90% of the time, so the wait is not for its work" in advice(pace, 0.3, 0.1, settings, 1)


# Sizes, from config files alone


def test_the_tiny_familys_folders_say_what_its_samples_are():
    settings = parse([])
    student = sizes.pipeline(str(ROOT / settings.models.student), "models.student")
    teacher = sizes.pipeline(str(ROOT / settings.models.teacher), "models.teacher")
    assert (student.dit.images, teacher.dit.images) == (1, 2)
    assert settings.data.height // student.stride == LATENT[2]
    assert student.image_tokens == len(sample(0).source_ID)
    assert student.dit == sizes.dit(TINY_I2V)


@pytest.mark.parametrize(
    ("name", "images"),
    [
        ("Wan-AI/Wan2.1-I2V-14B-480P-Diffusers", 1),
        ("Wan-AI/Wan2.1-I2V-14B-720P", 1),
        ("Wan-AI/Wan2.1-FLF2V-14B-720P-diffusers", 2),
    ],
)
def test_wan14b_is_known_without_a_network(name, images):
    found = sizes.pipeline(name, "models.student")
    assert (found.dit.width, found.dit.layers, found.stride, found.image_tokens) == (5120, 40, 8, 257)
    assert found.dit.images == images


# The command


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["models.teacher=Wan-AI/Wan2.2-Animate-14B"], ["models.teacher=Wan-AI/Wan2.2-Animate-14B", "the folder that"]),
        (["models.student=/nowhere/wan"], ["models.student=/nowhere/wan", "model_index.json"]),
        (["recipe=wan14b_480p", "kd.taps=40"], ["kd.taps=(40,)", "blocks 0..39"]),
        (["recipe=wan14b_480p", "teacher.tp=3"], ["over 3 ranks", "teacher.tp to one of 1, 2, 4, 8"]),
        (["models.teacher=Wan-AI/Wan2.1-FLF2V-14B-720P-Diffusers"], ["differ in width, 160 and 5120"]),
    ],
)
def test_what_cannot_run_is_not_planned(arguments, words, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        run(parse([*arguments, *SPEEDS]))
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_json_and_table_say_the_same(capsys):
    arguments = ["recipe=wan14b_480p", "teacher.replicas=3", *SPEEDS]
    settings = parse(arguments)
    run(replace(settings, plan=replace(settings.plan, json=True)))
    found = json.loads(capsys.readouterr().out)
    assert found["work"]["student_flops"] == work(settings, grid_FHW=(2, 60, 104)).student_flops
    assert found["work"]["shape_KBND"] == [4, 1, 3120, 5120]
    assert found["speed"] == {"train": 396.0, "infer": 640.0}
    assert found["replicas"] == 3 and found["pace"]["replicas"] == 2 and found["pace"]["wait"] == 0
    run(settings)
    table = " ".join(capsys.readouterr().out.split())
    for words in (
        "plan of wan14b_480p",
        "3120 + 512 text + 257 image tokens",
        "2 for 8 workers",
        "pool has 3",
    ):
        assert words in table
    assert f"{found['pace']['mib_per_s']:.1f} MiB/s of targets" in table
    assert f"the teacher's work is {found['balance']:.2f} of the student's" in table


@pytest.mark.slow
def test_a_side_whose_speed_is_not_given_is_measured(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    run(parse(["plan.train_tflops=0.5", "plan.json=true"]))
    speed = json.loads(capsys.readouterr().out)["speed"]
    assert speed["train"] == 0.5 and 0 < speed["infer"] != 0.5


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU can time a block of 14B")
@pytest.mark.slow
def test_what_this_machine_cannot_time_is_asked_for():
    too_much = ["recipe=wan14b_720p", "data.frames=81", "train.gpus_per_worker=0"]
    with pytest.raises(ValueError, match=r"1 of 40 blocks would take.*with plan\.train_tflops="):
        run(parse(too_much))
    with pytest.raises(ValueError, match=r"1 of 40 blocks would take.*with plan\.infer_tflops="):
        run(parse([*too_much, "plan.train_tflops=396"]))


def test_an_attention_backend_that_is_not_here_is_refused_in_one_line(monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ValueError, match=r"^models\.attention=nosuch cannot be used here .*models\.attention=native$"):
        run(parse(["models.attention=nosuch", "models.fold_pad=false"]))


def test_the_command_prints_json_and_ends_a_mistake_with_one_line(capsys):
    main("plan", ["recipe=wan14b_720p", *SPEEDS, "--json"])
    assert json.loads(capsys.readouterr().out)["recipe"] == "wan14b_720p"
    for arguments, code, words in (
        (["recipe=wan14b_1080p"], 2, "unknown recipe 'wan14b_1080p'"),
        (["models.student=Wan-AI/elsewhere", *SPEEDS, "--json"], 1, "models.student=Wan-AI/elsewhere"),
    ):
        with pytest.raises(SystemExit) as ended:
            main("plan", arguments)
        printed = capsys.readouterr()
        assert (ended.value.code, printed.out) == (code, "")
        assert printed.err.startswith("error: ") and printed.err.count("\n") == 1 and words in printed.err
