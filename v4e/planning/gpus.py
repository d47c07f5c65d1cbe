"""The parts of a cluster, for a plan: data sheets of GPUs, and the user's settings of nodes and network.

Figures are the vendors': dense bfloat16 without sparsity, links one way. Nothing in here was measured by us.
"""

from dataclasses import dataclass

from v4e.config import Config, Plan
from v4e.faults import Fault

RESERVE_GIB, RESERVE_SHARE = 2.0, 0.06  # of a GPU: CUDA and NCCL themselves, and what the allocator cannot use (ours)


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU."""

    gib: float  # as the driver shows it
    tflops: float  # dense bfloat16
    link_gb_s: float  # to the others of its node, one way
    host_gb_s: float  # to host memory, one way


GPUS = {
    "b200": Gpu(gib=178.3, tflops=2250, link_gb_s=900, host_gb_s=50),
    "h200": Gpu(gib=140.4, tflops=989, link_gb_s=450, host_gb_s=50),
    "h100": Gpu(gib=79.6, tflops=989, link_gb_s=450, host_gb_s=50),
    "a100-80": Gpu(gib=80.0, tflops=312, link_gb_s=300, host_gb_s=25),
    "a100": Gpu(gib=80.0, tflops=312, link_gb_s=300, host_gb_s=25),  # as Ray calls both sizes
    "a100-40": Gpu(gib=40.0, tflops=312, link_gb_s=300, host_gb_s=25),
    "l40s": Gpu(gib=45.0, tflops=362, link_gb_s=25, host_gb_s=25),
    "a10g": Gpu(gib=22.5, tflops=70, link_gb_s=25, host_gb_s=25),
    "l4": Gpu(gib=22.5, tflops=121, link_gb_s=25, host_gb_s=25),
    "rtx5090": Gpu(gib=31.8, tflops=209, link_gb_s=50, host_gb_s=50),
    "rtx4090": Gpu(gib=24.0, tflops=165, link_gb_s=25, host_gb_s=25),
    "rtx3090": Gpu(gib=24.0, tflops=71, link_gb_s=25, host_gb_s=25),
    "rtx4080": Gpu(gib=16.0, tflops=97, link_gb_s=25, host_gb_s=25),
}


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The GPUs of a run, all alike, and what connects them."""

    gpu: Gpu
    gpus: int  # in all; 0 = as many as a run asks for
    per_node: int
    host_gib: float  # memory of a node; 0 = not known
    network_gb_s: float  # of a node, one way
    storage_gib: float  # for store and checkpoints; 0 = not known

    @property
    def usable(self) -> float:
        """Bytes of a GPU that a plan may fill."""
        return ((1 - RESERVE_SHARE) * self.gpu.gib - RESERVE_GIB) * 2**30


OF_CLUSTER = ("gpus", "gpu_gib", "host_gib", "nvlink_gb_s", "storage_gib", "price")  # settings of a plan that need one


def check_named(config: Config, here: bool) -> None:
    """Refuses to plan for a cluster whose GPU nobody named; `here` says whether this machine has one to measure.

    Raises:
        Fault: naming what asks for a GPU.
    """
    plan = config.plan
    given = [f"plan.{name}={getattr(plan, name)}" for name in OF_CLUSTER if getattr(plan, name)]
    trains = f"train.gpus_per_worker={config.train.gpus_per_worker}" if config.train.gpus_per_worker else ""
    timed = plan.train_tflops and (plan.infer_tflops or config.kd.weight == 0)
    if not plan.gpu and (given or (trains and not here and not timed)):
        raise Fault(
            "T14",
            f"{(given or [trains])[0]} without plan.gpu: name the GPU to plan for, such as plan.gpu=h100, one of "
            f"{', '.join(GPUS)}" + ("" if given else "; or give plan.train_tflops and plan.infer_tflops"),
        )


def cluster_of(plan: Plan, gpu: str = "", gib: float = 0.0) -> Cluster | None:
    """The cluster that ``plan.*`` describes; None where neither it nor `gpu` names a GPU.

    `gpu` is what was found, and `gib` its memory, for users who say nothing.

    Raises:
        ValueError: a GPU whose data sheet is not known here, and neither its memory nor its speed given.
    """
    name = (plan.gpu or gpu).lower()
    if not name:
        return None
    sheet = GPUS.get(name)
    memory, links = plan.gpu_gib or gib, plan.nvlink_gb_s
    if sheet is None:
        if not (memory and plan.train_tflops and plan.infer_tflops):
            raise ValueError(
                f"plan.gpu={name} is not known here: expected one of {', '.join(GPUS)}, or say what it has with "
                "plan.gpu_gib, plan.train_tflops and plan.infer_tflops"
            )
        sheet = Gpu(gib=memory, tflops=plan.train_tflops, link_gb_s=25, host_gb_s=25)
    return Cluster(
        gpu=Gpu(
            gib=memory or sheet.gib,
            tflops=sheet.tflops,
            link_gb_s=links or sheet.link_gb_s,
            host_gb_s=sheet.host_gb_s,
        ),
        gpus=plan.gpus,
        per_node=plan.gpus_per_node,
        host_gib=plan.host_gib,
        network_gb_s=plan.network_gb_s,
        storage_gib=plan.storage_gib,
    )
