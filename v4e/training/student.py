"""One training step of the student, without Ray: losses, backward, clipping, AdamW, EMA (design's Eq. 1 to 6).

Shape letters: B batch, C latent channels, F latent frames, H W latent height and width, N DiT tokens, D width,
K taps.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypedDict

import torch
import torch.distributed as dist
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from torch import Tensor
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.experimental import implicit_replication

from v4e.config import Config, Optim
from v4e.config.times import parse_times
from v4e.method.conditioning import tail_of_x0
from v4e.method.flow import invert_rectified, velocity
from v4e.method.inputs import noised, placed, student_inputs
from v4e.method.losses import block_kd_loss, flow_loss, kd_tokens, tail_loss, tail_weight
from v4e.models.dit import predict
from v4e.models.recompute import recompute_blocks, recompute_vae
from v4e.parallel.fsdp import average_whole, shard_student
from v4e.training.ema import EMA
from v4e.training.optimizer import build_optimizer
from v4e.types import Sample, TeacherTarget
from v4e.weights.load import DTYPES, move
from v4e.weights.lora import trainable


class State(TypedDict):
    """All that a run needs to go on, as (sharded) tensors under stable names."""

    model: dict[str, Any]
    ema: dict[str, Tensor]
    optimizer: dict[str, Any]
    step: Tensor


# Not strict, because the frozen weights of a LoRA run are in no state; a checkpoint that lacks others fails to load.
TRAINED = StateDictOptions(ignore_frozen_params=True, strict=False)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One forward: B samples, their noise seeds, and what the teacher says about them."""

    samples: tuple[Sample, ...]
    seeds: tuple[int, ...]
    z_clip_BCFHW: Tensor  # the teacher's rollouts; latent frame 0 is the source's
    target: TeacherTarget | None  # None when kd.weight is 0
    x_t: bytes = b""  # of the request, as is t
    t: float = 0.0


def learning_rate(step: int, optim: Optim) -> float:
    """Returns the rate of `step`, counted from 0: linear over the warm-up share, then a cosine down to 0.

    Each number of steps in ``optim.extend`` is one more cycle of this kind.
    """
    cycles, steps = iter(optim.extend), optim.steps
    while step >= steps and (longer := next(cycles, 0)):
        step, steps = step - steps, longer
    warmup = max(1, round(optim.warmup * steps))
    if step < warmup:
        return optim.lr * (step + 1) / warmup
    return optim.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


class StudentTrainer:
    """The student, its optimizer and its moving average. Weights are float32 masters, whatever it computes in.

    With ``lora.rank`` > 0 those of its adapters: the others are frozen in what it computes in, and in no state.

    `dit` is sharded over `mesh` when there is one, here if :func:`v4e.weights.load.load_student` has not done so. `vae`
    is needed for ``tail.space=pixel`` only.
    """

    def __init__(
        self,
        config: Config,
        dit: WanTransformer3DModel,
        *,
        device: torch.device,
        mesh: DeviceMesh | None = None,
        vae: AutoencoderKLWan | None = None,
    ) -> None:
        if config.tail.space == "pixel" and config.tail.weight > 0 and vae is None:
            raise ValueError("tail.space=pixel decodes and encodes inside the loss: expected a VAE, got none")
        self.config = config
        self.device = device
        self.dtype = DTYPES[config.train.dtype]
        self.world = mesh.size() if mesh is not None else 1
        self.vae = vae
        self.step_count = 0
        self.bad_steps = 0  # in a row, that were skipped
        recompute_blocks(dit, config.train.recompute)
        if vae is not None:
            recompute_vae(vae)
        if not isinstance(dit, FSDPModule):
            dit = move(trainable(dit, config.lora, self.dtype, config.run.seed), device)
            dit = shard_student(dit, mesh, self.dtype, offload=config.train.offload == "all")
        self.dit = dit.train()
        self.parameters = [p for p in self.dit.parameters() if p.requires_grad]
        self.ema = EMA(self.dit, config.optim.ema)
        self.optimizer = build_optimizer(self.parameters, config.optim, offload=config.train.offload == "optimizer")

    @property
    def forwards(self) -> int:
        """Batches that this worker contributes to a step."""
        return self.config.optim.accumulate // self.world

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The terms of Eq. 1, unweighted, and their weighted sum ``loss``; terms of weight 0 are left out."""
        kd, tail, flow = self.config.kd, self.config.tail, self.config.flow
        noise = placed(noised(batch.seeds, batch.z_clip_BCFHW.to(self.device), flow.shift), batch.x_t, batch.t)
        own, count = self.config.distill.own(len(batch.seeds)) if batch.x_t else 0, len(batch.seeds)
        inputs = student_inputs(batch.samples, self.device, self.dtype)
        u_BCFHW, taps = predict(
            self.dit,
            noise.x_t_BCFHW.to(self.dtype),
            noise.t_B,
            inputs,
            taps=kd.taps if kd.weight > 0 else (),
            dtype=self.dtype,
        )
        u_BCFHW = u_BCFHW.float()
        terms: dict[str, Tensor] = {}
        loss = torch.zeros((), device=self.device)
        if kd.weight > 0:
            if batch.target is None:
                raise ValueError("kd.weight > 0: expected a teacher target with every batch, got None")
            teacher_KBND = batch.target.taps_KBND.to(self.device).float()
            tokens, frames = self.config.teacher.tokens, batch.z_clip_BCFHW.shape[2]
            student_KBND = torch.stack([kd_tokens(h_BND, tokens, frames) for h_BND in taps]).float()
            terms["kd"] = block_kd_loss(student_KBND, teacher_KBND, kd.reduction)
            loss = loss + kd.weight * terms["kd"]
        if tail.weight > 0:
            x0_hat_BCFHW = invert_rectified(noise.x_t_BCFHW, u_BCFHW, noise.t_B)
            z_student_BCHW = tail_of_x0(x0_hat_BCFHW, vae=self.vae, space=tail.space, context=tail.context)
            z_tail_BCHW = torch.stack([sample.z_tail_CHW for sample in batch.samples]).to(self.device)
            weight_B = tail_weight(noise.t_B, tail.power, parse_times(tail.times), flow.shift)
            weight_B[:own] = 0  # what the student makes on its own way may be another edit than the recorded one
            terms["tail"] = tail_loss(z_student_BCHW, z_tail_BCHW, weight_B, tail.beta)
            loss = loss + tail.weight * terms["tail"]
        if flow.weight > 0:
            target_BCFHW = velocity(batch.z_clip_BCFHW.to(self.device), noise.eps_BCFHW)
            terms["flow"] = flow_loss(u_BCFHW[own:], target_BCFHW[own:]) * (1 - own / count)
            loss = loss + flow.weight * terms["flow"]
        return {"loss": loss, **terms}

    def step(self, batches: Iterable[Batch]) -> dict[str, float]:
        """One optimizer step over this worker's :attr:`forwards` batches; metrics are means over all workers.

        Where a loss or the gradient is not finite, weights and averages stay as they are, and ``skipped`` is 1.

        Raises:
            FloatingPointError: that was the case ``watch.max_bad_steps`` times in a row.
        """
        optim = self.config.optim
        sums: dict[str, Tensor] = {}
        count = 0
        for batch in batches:  # not by enumerate, which holds on to a batch while it fetches the next
            count += 1
            self._communicate(last=count == self.forwards)
            terms = self.losses(batch)
            del batch  # and its target, for which the next one is asked
            (terms["loss"] / self.forwards).backward()
            for name, value in terms.items():
                sums[name] = sums.get(name, 0) + value.detach() / self.forwards
        if count != self.forwards:
            raise ValueError(f"a step takes {self.forwards} batches on this worker, got {count}")
        average_whole(self.parameters, self.world)
        with implicit_replication():  # some parameters are sharded, some not
            norm = torch.nn.utils.clip_grad_norm_(self.parameters, optim.clip)
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        means = torch.stack(list(sums.values()))
        if self.world > 1:
            dist.all_reduce(means)
            means /= self.world
        rate = learning_rate(self.step_count, optim)
        figures = torch.cat([means, norm.to(means).view(1)]).tolist()  # the one time that the step waits for the GPU
        metrics = dict(zip([*sums, "grad_norm"], figures, strict=True)) | {"lr": rate}
        # These are all workers' figures: either all of them skip the step, or none does.
        if all(map(math.isfinite, metrics.values())):
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.optimizer.step()
            self.ema.update(self.parameters, self.step_count)
            self.bad_steps = 0
        else:
            metrics["skipped"] = 1
            self.bad_steps += 1
        self.optimizer.zero_grad(set_to_none=True)
        self.step_count += 1
        if self.bad_steps >= self.config.watch.max_bad_steps:
            figures = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
            raise FloatingPointError(
                f"{self.bad_steps} steps in a row were skipped, the last with {figures}: set optim.lr lower, or look "
                "for samples with extreme features; watch.max_bad_steps says how many are borne"
            )
        return metrics

    def _communicate(self, *, last: bool) -> None:
        """Skips gradient communication until the last backward of a step."""
        if isinstance(self.dit, FSDPModule):
            self.dit.set_requires_gradient_sync(last or self.config.train.reduce == "each")
            self.dit.set_requires_all_reduce(last)

    def state_dict(self) -> State:
        """Returns the state of the run; the tensors are the trainer's own.

        Noise and data order are functions of the seed and the step, so there is no generator to save. Before the
        first step the optimizer's part is a placeholder, good only for being loaded into.
        """
        model, optimizer = get_state_dict(self.dit, self.optimizer, options=TRAINED)
        step = torch.tensor(self.step_count)
        return {"model": model, "ema": dict(self.ema.shadow), "optimizer": optimizer, "step": step}

    def load_state_dict(self, state: State) -> None:
        """Takes over a state of the same model and sharding."""
        set_state_dict(
            self.dit,
            self.optimizer,
            model_state_dict=state["model"],
            optim_state_dict=state["optimizer"],
            options=TRAINED,
        )
        with torch.no_grad():
            for name, tensor in self.ema.shadow.items():
                tensor.copy_(state["ema"][name])
        self.step_count = int(state["step"])
