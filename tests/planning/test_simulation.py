"""The simulation against closed forms: flow shops, queues, Daly's time to solution, the plan's pace."""

import json
import math
import random
from dataclasses import replace
from statistics import fmean, stdev

import pytest
import torch
from diffusers import AutoencoderKLWan
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.support.daly import expected_seconds
from pipelines.stages.plan_scale import run
from v4e.config import Scale, parse
from v4e.models import sizes
from v4e.planning.gpus import cluster_of
from v4e.planning.simulation import farm as farms
from v4e.planning.simulation.cluster import best_layout, splits
from v4e.planning.simulation.costs import DECODE, ENCODE, vae_flops
from v4e.planning.simulation.farm import Stage, farm
from v4e.planning.simulation.faults import TrainingJob, best_interval, train_through
from v4e.planning.simulation.pipeline import simulate
from v4e.planning.simulation.serving import serve
from v4e.planning.simulation.window import TrainingSetup, window
from v4e.planning.work import pace_of

I2V = sizes.pipeline("Wan-AI/Wan2.1-I2V-14B-480P-Diffusers", "models.student")
FLF2V = sizes.pipeline("Wan-AI/Wan2.1-FLF2V-14B-720P-diffusers", "models.teacher")
SECONDS = st.sampled_from([0.0, 0.5, 1.0, 3.0])


def rng() -> random.Random:
    return random.Random(0)


def within_its_error(found: list[float], expected: float) -> bool:
    """Whether the mean of `found` is as near to `expected` as chance allows: 4 standard errors."""
    return abs(fmean(found) - expected) <= 4 * stdev(found) / math.sqrt(len(found))


# Stages of independent triplets


@settings(deadline=None, max_examples=40)
@given(storage=SECONDS, cores=SECONDS, gpus=SECONDS, chunks=st.integers(1, 200))
def test_a_node_without_faults_is_a_flow_shop(storage, cores, gpus, chunks):
    """n equal jobs through machines in a row end after one through all, and n - 1 times the slowest."""
    times = storage, cores, gpus
    stage = Stage(name="s", triplets=chunks, storage_s=storage, cores_s=cores, gpus_s=gpus)
    found = farm(stage, 1, rng(), mtbf_s=math.inf, restart_s=0.0)
    assert found.seconds == pytest.approx(sum(times) + (chunks - 1) * max(times))
    assert found.faults == 0


@settings(deadline=None, max_examples=25)
@given(gpus=st.sampled_from([0.5, 2.0]), driver=st.sampled_from([0.001, 0.1, 1.0]), nodes=st.sampled_from([1, 3, 16]))
def test_the_one_driver_or_the_nodes_set_the_rate(gpus, driver, nodes):
    count = 40 * nodes
    stage = Stage(name="s", triplets=count, gpus_s=gpus, driver_s=driver)
    found = farm(stage, nodes, rng(), mtbf_s=math.inf, restart_s=0.0)
    least = max(count * gpus / nodes, count * driver)
    # Beyond that only until the driver has the first chunk, and what ends last waits for: one of each node.
    assert least <= found.seconds + 1e-6 <= least + gpus + nodes * driver + 1e-3
    assert max(found.busy.values()) == pytest.approx(least / found.seconds)


def test_chunks_under_way_are_lost_with_a_node_and_done_again(monkeypatch):
    """A node that does one chunk of d at a time takes (e^(d/M) - 1)(M + R) for each."""
    monkeypatch.setattr(farms, "WINDOW", 1)
    chunk, mtbf, restart, draws = 2.0, 3.0, 1.5, rng()
    stage = Stage(name="s", triplets=100, gpus_s=chunk)
    found = [farm(stage, 1, draws, mtbf_s=mtbf, restart_s=restart) for _ in range(60)]
    assert within_its_error([one.seconds for one in found], 100 * math.expm1(chunk / mtbf) * (mtbf + restart))
    assert fmean(one.faults for one in found) > 10


# Training


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3, 8])
@pytest.mark.parametrize("prefetch", [1, 2, 4])
@pytest.mark.parametrize("replicas", [1, 2, 5])
def test_the_window_has_the_plans_pace(workers, prefetch, replicas):
    """With a pool that costs nothing: the plan's, and with two ahead up to a quarter more, as the plan says."""
    base = parse([f"train.workers={workers}", f"teacher.prefetch={prefetch}", f"optim.accumulate={workers}"])
    for student_s, teacher_s in ((2.0, 1.0), (5.0, 30.0), (12.0, 4.0)):
        planned = pace_of(base, 1, student_s, teacher_s, replicas).step_s
        training = TrainingSetup(
            workers=workers,
            replicas=replicas,
            prefetch=prefetch,
            student_s=student_s,
            teacher_s=teacher_s,
            request_s=0.0,
            send_s=0.0,
        )
        found = window(training).forward_s
        assert found >= planned * 0.99
        if prefetch > 1:
            assert found <= planned * {2: 1.26, 4: 1.01}[prefetch]


@pytest.mark.parametrize("request_s", [0.001, 0.05, 0.3])
def test_the_pools_one_process_is_a_limit_that_workers_share(request_s):
    workers, student_s = 20, 2.0
    training = TrainingSetup(
        workers=workers,
        replicas=20,
        prefetch=4,
        student_s=student_s,
        teacher_s=0.5,
        request_s=request_s,
        send_s=0.01,
    )
    found = window(training)
    assert found.forward_s == pytest.approx(max(student_s, workers * request_s), rel=0.01)
    assert found.busy["the pool's one process"] == pytest.approx(workers * request_s / found.forward_s)


@settings(deadline=None, max_examples=8)
@given(
    mtbf=st.sampled_from([300.0, 2000.0]),
    every=st.sampled_from([40.0, 170.0]),
    blocked=st.sampled_from([0.0, 5.0]),
    restart=st.sampled_from([0.0, 60.0]),
)
def test_faults_cost_what_daly_says(mtbf, every, blocked, restart):
    job = TrainingJob(work_s=1000.0, every_s=every, blocked_s=blocked, written_s=0.0, restart_s=restart, mtbf_s=mtbf)
    draws = rng()
    found = [train_through(job, draws).seconds for _ in range(400)]
    assert within_its_error(found, expected_seconds(1000.0, every, blocked, restart, mtbf))


def test_youngs_interval_is_the_best_one():
    blocked, mtbf = 5.0, 5000.0
    best = best_interval(blocked, mtbf)

    def costs(every: float) -> float:
        return expected_seconds(100 * mtbf, every, blocked, 30.0, mtbf)

    assert costs(best) < min(costs(best / 1.3), costs(best * 1.3))
    assert best == pytest.approx(math.sqrt(2 * blocked * mtbf), rel=0.05)
    assert best_interval(blocked, math.inf) == math.inf


def test_a_checkpoint_counts_once_it_is_written():
    sync = TrainingJob(work_s=1000.0, every_s=50.0, blocked_s=0.0, written_s=0.0, restart_s=0.0, mtbf_s=400.0)
    late, draws = replace(sync, written_s=40.0), rng()
    lost = [fmean(train_through(job, draws).lost_s for _ in range(300)) for job in (sync, late)]
    assert lost[1] > 1.5 * lost[0]  # 25 s a fault against about 25 + 40
    calm = train_through(replace(late, mtbf_s=math.inf), draws)
    assert (calm.seconds, calm.faults, calm.lost_s) == (pytest.approx(1000.0), 0, 0.0)


def test_a_smaller_teacher_slows_training_until_it_is_back():
    """While d of the time is spent at half speed, work takes 1 / (1 - d / 2) as long."""
    job = TrainingJob(
        work_s=50_000.0,
        every_s=math.inf,
        blocked_s=0.0,
        written_s=0.0,
        restart_s=0.0,
        mtbf_s=math.inf,
        teacher_mtbf_s=100.0,
        teacher_restart_s=25.0,
    )
    draws = rng()
    found = [train_through(job, draws, lambda down: 2.0 if down else 1.0).seconds for _ in range(20)]
    down = 1 - math.exp(-25 / 100)  # of an infinite number of nodes: M/G/infinity is not empty
    assert fmean(found) == pytest.approx(50_000 / (1 - down / 2), rel=0.02)
    assert train_through(job, draws, lambda down: 1.0).seconds == pytest.approx(50_000)


# Serving


@pytest.mark.slow
@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_one_replica_is_the_queue_of_pollaczek_and_khinchine(load):
    found = serve(2.0, 1, load / 2.0, rng(), requests=60_000)
    assert found.mean_s == pytest.approx(2.0 + load * 2.0 / (2 * (1 - load)), rel=0.05)


def test_more_replicas_at_the_same_load_wait_less_and_do_as_much():
    found = [serve(2.0, replicas, 0.8 * replicas / 2.0, rng()) for replicas in (1, 4, 32)]
    means = [one.mean_s for one in found]
    assert means == sorted(means, reverse=True) and means[-1] == pytest.approx(2.0, rel=0.02)
    for one, replicas in zip(found, (1, 4, 32), strict=True):
        assert one.per_s == pytest.approx(0.8 * replicas / 2.0, rel=0.03)


# What the stages are made of


@pytest.mark.slow
@pytest.mark.parametrize(("frames", "height", "width"), [(1, 64, 96), (5, 64, 96), (9, 96, 64)])
@torch.no_grad()
def test_the_vaes_work_is_counted_exactly(frames, height, width):
    with torch.device("meta"):
        vae = AutoencoderKLWan()
    latent = 1 + (frames - 1) // 4
    with FlopCounterMode(display=False) as counter:
        vae.encode(torch.empty(1, 3, frames, height, width, device="meta"))
    assert counter.get_total_flops() == vae_flops(ENCODE, height * width, latent)
    with FlopCounterMode(display=False) as counter:
        vae.decode(torch.empty(1, 16, latent, height // 8, width // 8, device="meta"))
    assert counter.get_total_flops() == vae_flops(DECODE, height * width, latent)


def point(*arguments: str, runs: int = 1):
    config = parse(["recipe=wan14b_480p", "plan.gpu=h100", f"scale.runs={runs}", *arguments])
    cluster = cluster_of(config.plan)
    assert cluster is not None
    return config, cluster


@pytest.mark.parametrize("gpus", [4, 8, 16, 64, 4096])
def test_a_split_uses_no_more_than_there_is_and_is_the_fastest(gpus):
    config, cluster = point(f"plan.gpus={gpus}")
    for workers, shard, replicas, shared in splits(config, cluster):
        assert min(workers, replicas) >= 1 and workers + replicas <= gpus
        assert shard == 0 or workers % shard == 0
        if shared and gpus >= 8:
            assert workers // (gpus // 8) + replicas // (gpus // 8) == 8
    found = best_layout(config, I2V, FLF2V, cluster)
    assert not found.plan.limits and found.plan.gpus <= gpus
    assert found.config.optim.steps * found.config.optim.accumulate >= config.plan.triplets


def test_a_single_gpu_is_refused_with_what_is_needed():
    config, cluster = point("plan.gpus=1")
    with pytest.raises(ValueError, match=r"plan\.gpus=1 is too few|does not fit: GPUs of the cluster"):
        simulate(config, I2V, FLF2V, cluster)


def test_twice_the_triplets_take_twice_as_long_where_nothing_fails():
    """But for what every stage takes once."""
    calm = ("plan.gpus=16", "scale.mtbf_h=1e12", "scale.start_s=0", "scale.index_us=0", "scale.storage_gb_s=1e6")
    first, second = (
        simulate(config, I2V, FLF2V, cluster)
        for config, cluster in (point(*calm, f"plan.triplets={n}") for n in (200_000, 400_000))
    )
    for name in ("ingest", "caption", "precompute", "rollout", "train"):
        assert second.stages[name].seconds == pytest.approx(2 * first.stages[name].seconds, rel=0.02), name
    assert first.useful == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("settings_", "stage", "bottleneck"),
    [
        (["teacher.steps=100"], "rollout", "the GPUs"),
        (["scale.rollout_ms=9000"], "rollout", "the one driver"),
        (["scale.request_ms=90000"], "train", "the pool's one process"),
        (["scale.image_ms=9e6"], "ingest", "the nodes' cores"),
        (["scale.image_mb=100000"], "ingest", "the storage"),
        (["teacher.steps=1", "plan.network_gb_s=0.05"], "train", "the network, by the stream of targets"),
    ],
)
def test_the_first_limit_is_the_one_that_was_made_tight(settings_, stage, bottleneck):
    config, cluster = point("plan.gpus=16", "plan.triplets=4000", *settings_)
    found = simulate(config, I2V, FLF2V, cluster)
    assert found.stages[stage].bottleneck == bottleneck
    assert found.longest == stage


@pytest.mark.slow
def test_faults_that_come_often_are_the_limit_and_too_often_are_refused():
    short = (
        "plan.gpus=16",
        "plan.triplets=40000",
        "scale.restart_s=3000",
        "teacher.clip=line",
    )
    config, cluster = point(*short, "scale.mtbf_h=12", runs=10)
    found = simulate(config, I2V, FLF2V, cluster)
    assert found.stages["train"].bottleneck == "faults" and found.useful < 0.5
    config, cluster = point(*short, "scale.mtbf_h=1")
    with pytest.raises(ValueError, match=r"would hardly end: its nodes fail every \d+ s.*scale\.mtbf_h$"):
        simulate(config, I2V, FLF2V, cluster)


@pytest.mark.slow
def test_faults_take_time_and_are_counted():
    calm, often = (
        simulate(config, I2V, FLF2V, cluster)
        for config, cluster in (
            point("plan.gpus=16", "plan.triplets=100000", "teacher.steps=100", f"scale.mtbf_h={hours}", runs=3)
            for hours in (1e9, 40)
        )
    )
    assert calm.useful > 0.99 > often.useful
    assert often.stages["rollout"].faults > 1 > calm.stages["rollout"].faults == 0
    assert often.seconds > calm.seconds


# The command


def test_table_and_json_say_the_same_and_name_the_assumptions(capsys):
    arguments = ["plan.gpus=16", "plan.triplets=50000", "plan.price=2"]
    config, _ = point(*arguments)
    run(replace(config, plan=replace(config.plan, json=True)))
    found = json.loads(capsys.readouterr().out)
    assert found["cost"] == pytest.approx(2 * found["gpu_hours"]) and found["gpus"] == 16
    assert found["hours"] * 3600 == pytest.approx(sum(stage["seconds"] for stage in found["stages"].values()))
    assert list(found["stages"]) == ["ingest", "caption", "precompute", "rollout", "train", "export"]
    run(config)
    table = " ".join(capsys.readouterr().out.split())
    assert found["first_limit"] in table and f"{found['split']['workers']} GPUs train" in table
    for words in ("plan.train_share=0.4", "50000 h between faults of a GPU", "assumed 2 a GPU and hour"):
        assert words in table


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["recipe=wan14b_480p"], "plan.gpu= plan.gpus=0: name the cluster to simulate"),
        (["recipe=wan14b_480p", "plan.gpu=h100"], "plan.gpu=h100 plan.gpus=0: name the cluster"),
        (["recipe=wan14b_480p", "plan.gpu=h100", "plan.gpus=20"], "no whole nodes of 8: set plan.gpus=16"),
        (["recipe=wan14b_480p", "plan.gpu=l4", "plan.gpus=8"], "wan14b_480p does not fit"),
    ],
)
def test_what_cannot_be_simulated_is_refused(arguments, words):
    with pytest.raises(ValueError) as error:
        run(parse(arguments))
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("wrong", [{"load": 1.0}, {"mtbf_h": 0.0}, {"rows": 0.5}, {"runs": 0}, {"restart_s": -1.0}])
def test_assumptions_that_make_no_sense_are_refused(wrong):
    [name] = wrong
    with pytest.raises(ValueError, match=rf"scale\.{name}="):
        Scale(**wrong)
