"""Other places for the records of a run: TensorBoard, Weights & Biases, MLflow. ``metrics.jsonl`` is always written.

A tracker is a function that takes a step, its numbers, and its strip as PNG bytes if it has one. The driver calls it,
not a worker. There each step passes once, whatever workers died, and there the user's keys are.
"""

import hashlib
import importlib
import io
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from v4e.config import Config

Track = Callable[[int, Mapping[str, float], bytes | None], None]
PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb", "mlflow": "mlflow"}  # to their modules
INSTALL = {"tensorboard": "tensorboardX", "wandb": "wandb", "mlflow": "mlflow-skinny sqlalchemy alembic"}


def check_trackers(config: Config) -> None:
    """Refuses a tracker whose package is not there, before anything is started.

    Raises:
        ValueError: with the line that installs it.
    """
    for name in config.watch.trackers:
        try:
            importlib.import_module(PACKAGES[name])
        except ImportError as error:
            raise ValueError(
                f"watch.tracker={config.watch.tracker} needs the package {PACKAGES[name]} ({error}): "
                f"pip install {INSTALL[name]}, or leave {name} out of watch.tracker"
            ) from error


@contextmanager
def trackers(config: Config, done: int) -> Iterator[list[Track]]:
    """Opens the trackers of ``watch.tracker``, for a run that goes on from step `done`; flushes and closes them at the
    end.

    A resumed run goes on in the same TensorBoard curves, W&B run or MLflow run.
    """
    openers = {"tensorboard": tensorboard, "wandb": wandb, "mlflow": mlflow}
    with ExitStack() as stack:
        yield [stack.enter_context(openers[name](config, done)) for name in config.watch.trackers]


@contextmanager
def tensorboard(config: Config, done: int) -> Iterator[Track]:
    """Event files in ``<run.dir>/tensorboard``. What an earlier attempt wrote of later steps is dropped in them."""
    from tensorboardX import SummaryWriter

    with SummaryWriter(str(_folder(config) / "tensorboard"), purge_step=done + 1, filename_suffix=f".{done}") as writer:

        def track(step: int, numbers: Mapping[str, float], strip: bytes | None) -> None:
            for name, value in numbers.items():
                writer.add_scalar(name, value, step)
            if strip is not None:
                image = Image.open(io.BytesIO(strip)).convert("RGBA")
                ground = Image.new("RGBA", image.size, "white")
                picture = Image.alpha_composite(ground, image).convert("RGB")
                writer.add_image("samples/strip", np.asarray(picture), step, dataformats="HWC")
            if strip is not None or step % config.train.log_every == 0:
                writer.flush()

        yield track


@contextmanager
def wandb(config: Config, done: int) -> Iterator[Track]:
    """A run of the project ``v4e``, its files below ``<run.dir>``. W&B's own variables say where it goes: WANDB_MODE,
    WANDB_API_KEY, WANDB_PROJECT, WANDB_ENTITY."""
    import wandb as package  # pyright: ignore[reportMissingImports]

    run = package.init(
        project=os.environ.get("WANDB_PROJECT", "v4e"),
        id=_identity(config),
        name=Path(config.run.dir).name,
        dir=str(_folder(config)),
        resume="allow",
        config=asdict(config),
    )
    run.define_metric("*", step_metric="step")  # W&B's own step must rise: redone steps would be dropped

    def track(step: int, numbers: Mapping[str, float], strip: bytes | None) -> None:
        pictures: dict[str, Any] = (
            {} if strip is None else {"samples/strip": package.Image(Image.open(io.BytesIO(strip)))}
        )
        run.log({"step": step, **numbers, **pictures})

    try:
        yield track
    finally:
        run.finish()


@contextmanager
def mlflow(config: Config, done: int) -> Iterator[Track]:
    """A run of the experiment ``v4e`` at MLFLOW_TRACKING_URI, by default an SQLite file below ``<run.dir>``."""
    from mlflow import MlflowClient  # pyright: ignore[reportMissingImports]
    from mlflow.entities import Metric, Param  # pyright: ignore[reportMissingImports]

    folder = _folder(config)
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    client = MlflowClient(uri or f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("v4e")
    place = None if uri else (folder / "mlflow").as_uri()  # of files; a server has its own
    experiment_id = experiment.experiment_id if experiment else client.create_experiment("v4e", place)
    identity = _identity(config)
    found = client.search_runs([experiment_id], f"tags.v4e_run = '{identity}'")
    run = found[0] if found else client.create_run(experiment_id, tags={"v4e_run": identity}, run_name=folder.name)
    run_id = run.info.run_id
    if found:
        client.update_run(run_id, "RUNNING")
    else:
        flat = {
            f"{s}.{key}": str(value) for s, section in config.sections().items() for key, value in vars(section).items()
        }
        client.log_batch(run_id, params=[Param(key, value) for key, value in flat.items()])

    def track(step: int, numbers: Mapping[str, float], strip: bytes | None) -> None:
        now = int(1000 * time.time())
        client.log_batch(run_id, metrics=[Metric(name, value, now, step) for name, value in numbers.items()])
        if strip is not None:
            client.log_image(run_id, Image.open(io.BytesIO(strip)), f"samples/step-{step:06d}.png")

    status = "FAILED"
    try:
        yield track
        status = "FINISHED"
    finally:
        client.set_terminated(run_id, status)


def _folder(config: Config) -> Path:
    """Returns a folder for a tracker's own files: the run's, or a local one if the run is on another filesystem."""
    folder = config.run.dir
    local = Path("runs", Path(folder).name) if "://" in folder else Path(folder)
    local.mkdir(parents=True, exist_ok=True)
    return local.resolve()


def _identity(config: Config) -> str:
    """Returns the identity of the run in this folder, which stays when it is resumed."""
    where = config.run.dir if "://" in config.run.dir else str(Path(config.run.dir).resolve())
    return hashlib.sha256(where.encode()).hexdigest()[:12]
