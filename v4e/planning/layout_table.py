"""A cluster plan in words: rows of the table that people see, and the refusal of what cannot fit."""

from v4e.config import Config
from v4e.models.sizes import Pipeline
from v4e.planning.frozen_memory import FrozenMemory
from v4e.planning.gpus import RESERVE_GIB, RESERVE_SHARE, Cluster
from v4e.planning.layout import GIB, ClusterPlan, parts_gib, process_gib, stream_gb_s
from v4e.planning.search import Suggestion
from v4e.planning.work import SampleWork
from v4e.planning.work_table import balance_row, duration

NO_WAY = "no change of the settings that the search knows fits: use GPUs with more memory, or more of them"


def cluster_rows(config: Config, found: ClusterPlan, cluster: Cluster) -> dict[str, str]:
    """Returns the table of a cluster plan: places, memory, times and cost."""
    held, seconds, per_node, pace = found.held, found.seconds, cluster.per_node, found.pace
    samples = config.optim.batch * config.optim.accumulate
    parts = ", ".join(f"{name} {gib:.1f}" for name, gib in parts_gib(config, held).items())
    away = held.student.in_host_memory(config.train.offload) / GIB
    tera = found.work.student_flops / 1e12, found.work.teacher_flops / 1e12
    rows = {
        "cluster": f"{cluster.gpus or found.gpus} GPUs of {cluster.gpu.gib:.0f} GiB and {cluster.gpu.tflops:.0f} "
        f"TFLOP/s, {per_node} a node, {cluster.gpu.link_gb_s:.0f} GB/s between them, {cluster.network_gb_s:.0f} GB/s "
        "a node",
        "who is where": f"{found.training_gpus} GPUs train"
        + (
            f", {found.teacher_gpus} teach ({found.replicas} replicas of {config.teacher.tp})"
            if found.teacher_gpus
            else ""
        )
        + f": {found.gpus} GPUs, {-(-found.gpus // per_node)} nodes",
        "training GPU": f"{held.student_gpu / GIB:.1f} GiB at the peak: {parts}"
        + (f"; {away:.1f} in host memory" if away else ""),
        "teacher's GPU": f"{held.teacher_gpu / GIB:.1f} GiB: weights {held.teacher_weights / GIB:.1f}, "
        f"activations {held.teacher_activations / GIB:.1f}",
        "editor's GPU": frozen(held.editor),
        "precompute's GPU": frozen(held.encoder),
        "room": f"{cluster.usable / GIB:.1f} GiB a GPU: {RESERVE_GIB:.0f} GiB and {RESERVE_SHARE:.0%} are left free",
        "node": f"{held.host / GIB:.0f} GiB of host memory on one that trains",
        "work": f"{tera[0] * samples:.4g} TFLOP a step for the student{passes(config, tera[0] * samples)}; "
        f"{tera[1] * samples:.4g} for each rank of the teacher's",
        "speed": f"{found.speed.train:.0f} TFLOP/s a training GPU, {found.speed.infer:.0f} a teacher's: stated, not "
        "measured",
        "a batch": f"{seconds.compute:.3g} s to compute, {seconds.gather:.3g} s of FSDP's communication, "
        f"{seconds.target:.3g} s for its target ({seconds.copy:.3g} s to copy it, beside the next one); "
        f"{found.bound} sets the pace",
        **({"balance": balance_row(found.work, config)} if config.kd.weight > 0 else {}),
        "stream": f"{pace.mib_per_s:.0f} MiB/s of targets, {stream_gb_s(pace):.2f} GB/s",
        "pace": f"{pace.step_s:.3g} s a step, {pace.samples_per_s:.4g} samples/s, students wait {pace.wait:.0%}",
        "rollouts": rollout_row(config, found),
        "time": f"rollouts {duration(3600 * found.rollout_h)} on {config.teacher.most_replicas} replicas (rollout.py "
        f"may have more), {config.optim.total} steps {duration(3600 * found.training_h)}; plan.py scale has the rest",
        "checkpoints": f"one of {found.checkpoint / GIB:.4g} GiB every {duration(found.checkpoint_every_s)}: storage "
        f"must take {found.checkpoint_gb_s:.2g} GB/s; training stands still {found.staging_s:.2g} s",
        "disk": f"{held.store / GIB:.0f} GiB of store, {held.checkpoints / GIB:.0f} GiB of checkpoints",
    }
    if seconds.offload:
        rows["offload"] = (
            f"{seconds.offload:.3g} s a step for the moments, one way after the other at {cluster.gpu.host_gb_s:.0f} "
            "GB/s: the data sheet's rate of pinned memory, not measured (`python -m benchmarks.gpu.check traffic`)"
        )
    if found.cost:
        rows["cost"] = f"{found.cost:.0f}, at {config.plan.price:g} a GPU and hour"
    return rows


def rollout_row(config: Config, found: ClusterPlan) -> str:
    """Returns what rollouts cost, and what cheaper ones would."""
    forwards = config.teacher.forwards
    if not forwards:
        return "straight lines between stored latents: no GPU hours"
    each = found.rollout_gpu_h / forwards
    return (
        f"{found.rollout_gpu_h:.2g} GPU hours for 1,000 triplets, {forwards} forwards each; a LoRA of 4 steps without "
        f"guidance takes {4 * each:.2g}, teacher.clip=line none"
    )


def frozen(memory: FrozenMemory) -> str:
    """The memory of a GPU whose models are not trained."""
    parts = f"weights {memory.weights / GIB:.1f}, activations {memory.activations / GIB:.1f}"
    return f"{memory.total / GIB:.1f} GiB: {parts}"


def passes(config: Config, tera: float) -> str:
    """Splits a step's TFLOP into forwards, backwards, and forwards that are computed again."""
    again = config.train.recompute == "full"
    forward = tera / (4 if again else 3)
    return f" ({forward:.4g} forward, {2 * forward:.4g} backward" + (
        f", {forward:.4g} computed again)" if again else ")"
    )


def process_rows(config: Config, student: Pipeline, teacher: Pipeline, work: SampleWork) -> dict[str, str]:
    """Returns the memory of processes without GPUs."""
    rows = {}
    for side, gib in process_gib(config, student, teacher, work).items():
        parts = ", ".join(f"{name} {size:.2f}" for name, size in gib.items() if name not in ("peak", "process"))
        rows[f"{side} process"] = f"{gib['peak']:.2f} GiB: {parts}; imports and runtime {gib['process']:.2f}"
    return rows


def verdict_rows(found: ClusterPlan, suggestion: Suggestion | None) -> dict[str, str]:
    """Returns whether the run fits, and the settings that would."""
    other = {"other commands": f"do NOT fit: {'; '.join(map(str, found.elsewhere))}"} if found.elsewhere else {}
    if not found.limits:
        return {"verdict": "training fits" if other else "fits"} | other
    rows = {"verdict": "does NOT fit", "first limit": str(found.limits[0])} | other
    if len(found.limits) > 1:
        rows["also"] = "; ".join(map(str, found.limits[1:]))
    return rows | {"nearest that fits": told(suggestion)}


def refusal(config: Config, found: ClusterPlan, suggestion: Suggestion | None) -> str:
    """One line for a run that cannot fit."""
    return f"{config.recipe} does not fit: {found.limits[0]}; nearest that fits: {told(suggestion)}"


def told(suggestion: Suggestion | None) -> str:
    """A suggestion, with what it comes to."""
    if suggestion is None:
        return NO_WAY
    found = suggestion.plan
    return f"{suggestion} ({found.gpus} GPUs, {found.pace.step_s:.2f} s a step)"
