"""The training workers as Ray Train starts them: how many, with what, and what happens when one is lost.

Importing Ray Train takes seconds. The driver does it while the teacher pool starts, and never imports the student.
"""

from typing import Any

from fsspec.core import url_to_fs
from pyarrow.fs import FSSpecHandler, PyFileSystem
from ray.actor import ActorHandle
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from actors.student.failures import CertainTorchTrainer
from v4e.config import Config
from v4e.files.uri import join

RESIZE_S = 30.0  # between looks at whether more workers can be had, where train.min_workers lets them vary
GRACE_S = (
    35.0  # after a preempted node's deadline. Ray Train counts nodes every 20 s: an earlier restart waits a minute
)


def student_trainer(config: Config, ids: list[str], pool: ActorHandle | None, stop: str = "") -> TorchTrainer:
    """The run of ``train.workers`` workers on the samples `ids`, with the targets of `pool` if there is one.

    The workers save and end when there is a file `stop`.
    """
    gpus, worlds = config.train.gpus_per_worker, config.train.worlds
    filesystem, path = url_to_fs(join(config.run.dir, "ray"))
    return CertainTorchTrainer(
        train_worker,
        train_loop_config={"config": config, "ids": tuple(ids), "pool": pool, "stop": stop},
        # Gloo beside NCCL: checkpoints are agreed on, and offloaded gradients reduced, in host memory.
        torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if gpus else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=(worlds[0], worlds[-1]) if len(worlds) > 1 else config.train.workers,
            elastic_resize_monitor_interval_s=RESIZE_S,
            use_gpu=gpus > 0,
            resources_per_worker={"GPU": gpus} if gpus else {"CPU": 1},
        ),
        run_config=RunConfig(
            name="train",
            storage_path=path,
            storage_filesystem=PyFileSystem(FSSpecHandler(filesystem)),
            failure_config=FailureConfig(max_failures=config.train.max_failures, preemption_grace_s=GRACE_S),
        ),
    )


def train_worker(loop: dict[str, Any]) -> None:
    """Runs :func:`actors.student.worker.train_student` in a worker."""
    from actors.student.worker import train_student  # here, because the driver needs none of what it imports

    train_student(loop)
