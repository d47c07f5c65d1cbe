"""A simulated pipeline in words and as plain data, each time with its assumptions."""

from dataclasses import asdict

from v4e.config import Config
from v4e.planning.gpus import Cluster
from v4e.planning.simulation.pipeline import HOUR, Simulated
from v4e.planning.work_table import duration


def scale_rows(found: Simulated, config: Config, cluster: Cluster) -> dict[str, str]:
    """The table that people see."""
    layout, serving, scale = found.layout, found.served, config.scale
    of = layout.config
    samples = of.optim.batch * of.optim.accumulate
    nodes = "nodes that do both" if layout.shared else "nodes of one kind each"
    rows = {
        "split": f"{of.train.workers} GPUs train, {layout.plan.teacher_gpus} teach, {nodes}; "
        f"{samples} samples a step, {of.optim.steps} steps"
        + (f"; train.offload={of.train.offload}" if of.train.offload != config.train.offload else ""),
    }
    for name, part in found.stages.items():
        share = part.seconds / found.seconds
        faults = f", {part.faults:.1f} faults" if part.faults >= 0.05 else ""
        rows[name] = f"{duration(part.seconds)} ({share:.0%}), bound by {part.bottleneck}{faults}"
    rows |= {
        "training": f"{found.step_s:.3g} s a step, {samples / found.step_s:.4g} samples/s; "
        f"{found.useful:.1%} of the time is useful, a checkpoint every {duration(found.job.every_s)}",
        "whole": f"{duration(found.seconds)}, {found.triplets / found.seconds:.4g} triplets/s, "
        f"{found.gpu_hours:.4g} GPU hours",
        "first limit": found.bottleneck,
        "serving": f"{1 / found.edit_s * found.gpus:.3g} edits/s at most; at {scale.load:.0%} of that "
        f"{serving.median_s:.3g} s in the median, {serving.p95_s:.3g} s for 95 of 100; alone {found.edit_s:.3g} s",
        "assumed": assumptions(config, found, cluster),
    }
    if config.plan.price:
        rows["cost"] = f"{found.gpu_hours * config.plan.price:,.0f}, at an assumed {config.plan.price:g} a GPU and hour"
    return rows


def assumptions(config: Config, found: Simulated, cluster: Cluster) -> str:
    """Lists the figures that nobody has measured."""
    plan, scale, speed = config.plan, config.scale, found.layout.plan.speed
    return (
        f"{speed.train:.0f} TFLOP/s a training GPU and {speed.infer:.0f} a teaching one (plan.train_share="
        f"{plan.train_share:g}, plan.infer_share={plan.infer_share:g}), {cluster.network_gb_s:g} GB/s a node, "
        f"{scale.captions_per_s:g} captions/s a GPU, {scale.storage_gb_s:g} GB/s of storage a node and "
        f"{scale.storage_total_gb_s:g} in all, {scale.cores} cores a node, {scale.mtbf_h:g} h between faults of a GPU, "
        f"{scale.restart_s:g} s to replace a node; measured on a CPU: scale.row_ms, image_ms, request_ms, rollout_ms, "
        "index_us, start_s"
    )


def scale_document(found: Simulated, config: Config) -> dict:
    """Returns the simulation as plain data, for programs."""
    of = found.layout.config
    return {
        "recipe": config.recipe,
        "triplets": found.triplets,
        "gpus": found.gpus,
        "split": {
            "workers": of.train.workers,
            "replicas": found.layout.plan.replicas,
            "shared_nodes": found.layout.shared,
            "offload": of.train.offload,
            "samples_a_step": of.optim.batch * of.optim.accumulate,
            "steps": of.optim.steps,
        },
        "stages": {name: asdict(part) for name, part in found.stages.items()},
        "step_s": found.step_s,
        "useful": found.useful,
        "checkpoint_every_s": found.job.every_s,
        "hours": found.seconds / HOUR,
        "gpu_hours": found.gpu_hours,
        "cost": found.gpu_hours * config.plan.price,
        "triplets_per_s": found.triplets / found.seconds,
        "first_limit": found.bottleneck,
        "serving": asdict(found.served) | {"alone_s": found.edit_s, "most_per_s": found.gpus / found.edit_s},
        "assumed_or_measured": {"plan": asdict(config.plan), "scale": asdict(config.scale)},
    }
