"""The resources that an actor asks Ray for, and the device that follows from what Ray reserved.

A node may have more GPUs than a process has reserved: what torch finds decides nothing here.
"""

from typing import Any

import ray
import torch


def resources(gpus: float, cpus: float = 1.0) -> dict[str, float]:
    """Ray's resources of an actor: its GPUs and no CPU, so that a node needs none to spare; without GPUs its `cpus`."""
    return {"GPU": gpus} if gpus else {"CPU": cpus}


def options(gpus: float, cpus: float = 1.0) -> dict[str, Any]:
    """:func:`resources` as options of an actor. All are named: Ray adds 1 CPU to an actor that names only others."""
    asked = resources(gpus, cpus)
    return {"num_gpus": asked.get("GPU", 0), "num_cpus": asked.get("CPU", 0)}


def needs(gpus: float, cpus: float = 1.0) -> str:
    """:func:`resources` in words for people."""
    return " and ".join(f"{number:g} {kind}" for kind, number in resources(gpus, cpus).items())


def reserved_device() -> torch.device:
    """The first GPU that Ray reserved for this process, else the CPU.

    Raises:
        RuntimeError: torch cannot use the GPU.
    """
    gpus = reserved_gpus()
    if not gpus:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise RuntimeError(
            f"Ray reserved GPU {', '.join(gpus)} on {ray.util.get_node_ip_address()}, but torch {torch.__version__} "
            "there finds no CUDA: install a CUDA build of torch and the driver, or ask for no GPU"
        )
    return torch.device("cuda", 0)  # Ray shows a process its own GPUs alone


def reserved_gpus() -> list[str]:
    """The ids of the GPUs that Ray reserved for this process: none outside of Ray, which asking alone would start."""
    if not ray.is_initialized():
        return []
    return sorted(map(str, ray.get_gpu_ids()))
