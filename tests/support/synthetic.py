"""Random samples of the tiny family's shapes: a store without a world or encoders, for tests of training."""

from pathlib import Path

import torch

from v4e.config import KD, Config, Data, Distill, Flow, Lora, Models, Optim, Run, Tail, Teacher, Train
from v4e.data.store.store import RolloutStore, Store
from v4e.models import tiny
from v4e.types import Sample, TargetRequest

LATENT = (tiny.Z, 2, 8, 8)  # C F H W of 5 x 32 x 32 pixels
SETTINGS: dict[str, object] = {
    "run": Run,
    "models": Models,
    "data": Data,
    "teacher": Teacher,
    "kd": KD,
    "distill": Distill,
    "tail": Tail,
    "flow": Flow,
    "optim": Optim,
    "lora": Lora,
    "train": Train,
}


def config(**sections: dict[str, object]) -> Config:
    """A short run; ``kd={"weight": 0.0}`` sets single fields of a section."""
    values: dict[str, dict[str, object]] = {
        "optim": {"steps": 6, "batch": 2, "accumulate": 2, "lr": 1e-3},
        "train": {"checkpoint_every": 2, "log_every": 2},
    }
    for name, fields in sections.items():
        values[name] = values.get(name, {}) | fields
    return Config(recipe="test", **{name: SETTINGS[name](**fields) for name, fields in values.items()})


def sample(number: int) -> Sample:
    """Sample `number`: random features of the right shapes, always the same."""
    generator = torch.Generator().manual_seed(number)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    z_i2v_CFHW, z_flf_CFHW = normal(*LATENT), normal(*LATENT)
    z_flf_CFHW[:, 0] = z_i2v_CFHW[:, 0]
    return Sample(
        id=f"s{number:03d}",
        task="color",
        z_i2v_CFHW=z_i2v_CFHW,
        z_flf_CFHW=z_flf_CFHW,
        z_tail_CHW=normal(tiny.Z, 8, 8),
        instruction_TD=normal(5 + number % 3, tiny.TEXT_WIDTH),
        evolution_TD=normal(9 + number % 2, tiny.TEXT_WIDTH),
        source_ID=normal(tiny.IMAGE_TOKENS, tiny.IMAGE_WIDTH),
        edit_ID=normal(tiny.IMAGE_TOKENS, tiny.IMAGE_WIDTH),
    )


def rollout(number: int) -> torch.Tensor:
    """A stand-in for the teacher's clip latents of sample `number`, shape C F H W."""
    z_clip_CFHW = torch.randn(*LATENT, generator=torch.Generator().manual_seed(1000 + number))
    z_clip_CFHW[:, 0] = sample(number).z_i2v_CFHW[:, 0]
    return z_clip_CFHW


def stored(folder: Path, family: Path, count: int, **sections: dict[str, object]) -> Config:
    """A run in `folder` with a store of `count` samples and no rollouts, of the models in `family`."""
    models = {"student": str(family / "tiny-wan-i2v"), "teacher": str(family / "tiny-wan-flf2v")}
    settings = config(**{"models": models, "run": {"dir": str(folder)}} | sections)
    store = Store.create(settings)
    for number in range(count):
        store.write(sample(number))
    return settings


def rolled_out(settings: Config) -> None:
    """Adds stand-in rollouts of all samples."""
    rollouts = RolloutStore.open(settings)
    for sample_id in Store.open(settings).ids():
        rollouts.write(sample_id, rollout(int(sample_id[1:])))


def requests_of(count: int) -> list[TargetRequest]:
    """Requests of two samples each, out of six."""
    return [TargetRequest(sample_ids=(f"s{n % 6:03d}", f"s{(n + 1) % 6:03d}"), seeds=(n, n + 1)) for n in range(count)]
