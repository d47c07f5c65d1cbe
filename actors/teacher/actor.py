"""One rank of the frozen FLF2V teacher. It never sees an optimizer, loads once, and answers two kinds of requests.

Both answers are pure functions of the request and the run's settings. A request that is repeated, elsewhere or after a
crash, gives the same bits. All ranks of a replica get the same requests in the same order, and any rank's answer is the
replica's. No Ray in here: the pool makes an actor of it.

Shape letters: B batch, C latent channels, F latent frames, H W latent height and width, N DiT tokens, D width,
K taps.
"""

import os
from dataclasses import replace
from typing import cast

import torch
from diffusers import UniPCMultistepScheduler
from torch import Tensor
from torch.distributed import ProcessGroup

from actors.stream.packing import pack
from actors.teacher.ranks import Ranks
from v4e.config import Config
from v4e.data.store.store import RolloutStore, Store
from v4e.files.cache import cached
from v4e.method.flow import draw, guided, sample_seed
from v4e.method.inputs import noised, placed, teacher_inputs
from v4e.method.losses import kd_tokens
from v4e.method.sampler import solve
from v4e.models.dit import hidden_states, predict
from v4e.types import TargetRequest
from v4e.weights.frozen import empty_prompt
from v4e.weights.load import DTYPES, load_dit, move
from v4e.weights.lora_files import merge

ROLLOUT_DRAW = 1  # apart from the noise of training, which is draw 0
# Of timesteps on their way to the model: UniPC's whole thousandths come out whole in float64 alone, and Euler's were
# float32 from the beginning, which fixes the bits of its rollouts.
TIMES = {"euler": torch.float32, "unipc": torch.float64}


class Teacher:
    """Hidden states and rollouts of the teacher that `config` names, on `device` or by default the CPU.

    All that it needs is loaded when it is made: no request waits for weights. Without `samples` it gives targets alone.
    `lora` is merged into its weights: a step-distilled one makes rollouts cheaper, and is not meant for targets.
    """

    def __init__(
        self,
        config: Config,
        group: ProcessGroup | None = None,
        device: torch.device | None = None,
        *,
        samples: bool = True,
        lora: str = "",
    ) -> None:
        self.config = config
        self.ranks = Ranks(group)
        self.device = device or torch.device("cpu")
        self.dtype = DTYPES[config.models.dtype]
        models, how = config.models, config.teacher
        # Before the DiT, so that the two are not in memory together.
        guides = samples and how.guidance != 1
        self.away_TD = empty_prompt(models.teacher, self.dtype, how.negative, self.device) if guides else None
        self.scheduler = unipc(models.teacher) if samples else None
        dit = load_dit(models.teacher, self.dtype, models.attention, models.fold_pad, group, positions=models.positions)
        if lora:
            merge(dit, lora, key="teacher.lora")
        self.dit = move(dit, self.device).eval().requires_grad_(False)
        limit = config.data.cache_mib << 20
        self.sample = cached(Store.open(config).read, limit)
        self.rollout = cached(RolloutStore.open(config).read, limit)

    def ready(self) -> dict[str, int | str]:
        """The process and device of this rank; the weights are loaded when it returns."""
        return {"pid": os.getpid(), "device": str(self.device)}

    def targets(self, request: TargetRequest) -> Tensor:
        """:meth:`taps` of the request, packed as ``teacher.payload`` says.

        Raises:
            ValueError: they do not fit the payload.
        """
        # After the collectives, so that an answer that cannot be packed leaves the ranks in step.
        return pack(self.taps(request), self.config.teacher.payload)

    @torch.inference_mode()
    def taps(self, request: TargetRequest) -> Tensor:
        """``h_KBND``: hidden states after each tap at the request's ``(x_t, t)``, in the teacher's dtype.

        N counts the tokens that ``teacher.tokens`` names.
        """
        with self.ranks.agreed():
            samples = [self.sample(key) for key in request.sample_ids]
            z_clip_BCFHW = torch.stack([self.rollout(key) for key in request.sample_ids]).to(self.device)
            noise = placed(noised(request.seeds, z_clip_BCFHW, self.config.flow.shift), request.x_t, request.t)
            shown = [self.sample(key) for key in request.shown] + samples[len(request.shown) :]
            inputs = teacher_inputs(shown, self.config.teacher.text, self.device, self.dtype)
        with self.ranks.in_step():
            taps_KBND = hidden_states(
                self.dit, noise.x_t_BCFHW.to(self.dtype), noise.t_B, inputs, taps=self.config.kd.taps
            )
        return kd_tokens(taps_KBND, self.config.teacher.tokens, z_clip_BCFHW.shape[2])

    @torch.inference_mode()
    def rollouts(self, sample_ids: tuple[str, ...]) -> Tensor:
        """Sampled clip latents ``z_clip_BCFHW``, float32, latent frame 0 replaced by the source's.

        The noise of a sample depends on its id alone, not on the run's seed: runs may share a store.
        """
        config, how = self.config, self.config.teacher
        if self.scheduler is None:
            raise ValueError("this teacher was loaded for targets alone: start its pool with load_sampler")
        with self.ranks.agreed():
            samples = [self.sample(key) for key in sample_ids]
            inputs = teacher_inputs(samples, how.text, self.device, self.dtype)
            seeds = [sample_seed(0, key, 0, ROLLOUT_DRAW) for key in sample_ids]
            shape = samples[0].z_flf_CFHW.shape
            x_BCFHW = torch.stack([draw(seed, shape, config.flow.shift)[1] for seed in seeds]).to(self.device)
            passes = [inputs]
            if self.away_TD is not None:
                passes.append(replace(inputs, text=[self.away_TD] * len(samples)))

        def velocity(x_BCFHW: Tensor, t: float) -> Tensor:
            t_B = torch.full((len(samples),), t, device=self.device, dtype=TIMES[how.solver])
            u, *empty = [predict(self.dit, x_BCFHW.to(self.dtype), t_B, given)[0].float() for given in passes]
            return guided(u, empty[0], how.guidance) if empty else u

        with self.ranks.in_step():
            x_BCFHW = solve(
                velocity,
                x_BCFHW,
                solver=how.solver,
                steps=how.steps,
                shift=how.shift or config.flow.shift,
                scheduler=self.scheduler,
            )
            x_BCFHW[:, :, 0] = torch.stack([s.z_i2v_CFHW[:, 0] for s in samples]).to(self.device)
            return x_BCFHW


def unipc(folder: str) -> UniPCMultistepScheduler:
    """UniPC's settings in a pipeline."""
    return cast(UniPCMultistepScheduler, UniPCMultistepScheduler.from_pretrained(folder, subfolder="scheduler"))
