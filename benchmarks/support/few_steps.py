"""A LoRA of the tiny teacher that samples in few steps: what a step-distilled LoRA of Wan2.1 is to the 14B teacher.

It is trained on the teacher's own rollouts. From a rollout's noise to its end it learns the straight way (reflow), at
the few times that it will be asked at.
"""

import random

import torch
import torch.nn.functional as F

from actors.teacher.actor import ROLLOUT_DRAW
from v4e.config import Config, Lora
from v4e.data.store.store import RolloutStore, Store
from v4e.method.flow import add_noise, draw, sample_seed, times, velocity
from v4e.method.inputs import teacher_inputs
from v4e.models.dit import predict
from v4e.models.stock import WanImageToVideoPipeline
from v4e.weights.load import load_dit
from v4e.weights.lora import trainable

BATCH, RATE = 16, 2e-3


def distil(config: Config, folder: str, *, steps: int, iterations: int, rank: int = 32) -> float:
    """Writes pytorch_lora_weights.safetensors below `folder`, for `steps` Euler steps; the mean loss of the last 50.

    Raises:
        ValueError: `config` has no rollouts.
    """
    store, rollouts = Store.open(config), RolloutStore.open(config)
    ids, device = rollouts.ids(), torch.device("cpu")
    if not ids:
        raise ValueError(f"{rollouts.uri} holds no rollouts: run v4e rollout first")
    samples = {key: store.read(key) for key in ids}
    ends = {key: rollouts.read(key) for key in ids}
    noise = {key: draw(sample_seed(0, key, 0, ROLLOUT_DRAW), ends[key].shape, 1.0)[1] for key in ids}
    dit = load_dit(config.models.teacher, torch.float32)
    dit = trainable(dit, Lora(rank=rank, targets=(*Lora().targets, "ffn.net.0.proj", "ffn.net.2")), torch.float32, 0)
    adapters = {name: p for name, p in dit.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(adapters.values(), lr=RATE)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations)
    rng, grid, losses = random.Random(0), times(steps, config.flow.shift)[:-1].tolist(), []
    for _ in range(iterations):
        batch = rng.sample(ids, BATCH)
        t_B = torch.tensor([rng.choice(grid) for _ in batch])
        z_BCFHW, eps_BCFHW = (torch.stack([of[key] for key in batch]) for of in (ends, noise))
        given = teacher_inputs([samples[key] for key in batch], config.teacher.text, device, torch.float32)
        u_BCFHW, _ = predict(dit, add_noise(z_BCFHW, eps_BCFHW, t_B), t_B, given)
        loss = F.mse_loss(u_BCFHW, velocity(z_BCFHW, eps_BCFHW))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
        losses.append(loss.item())
    layers = {name.replace(".default.", "."): p.detach() for name, p in adapters.items()}
    WanImageToVideoPipeline.save_lora_weights(folder, transformer_lora_layers=layers)
    return sum(losses[-50:]) / len(losses[-50:])
