"""The student's own way from noise to an edit: the states on it at which the teacher is asked, where a run wants them.

In training, states are noised rollouts, which the student meets only if it is as good as the teacher. In sampling it
meets its own. A request carries them, so that it is a pure function still. They are what the weights make of a seed
when the request leaves: with ``teacher.prefetch=1`` those of the step in which they are trained on.

Shape letters: B batch, C latent channels, F latent frames, H W latent height and width.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from v4e.method.flow import draw, sample_seed, times
from v4e.method.inputs import student_inputs
from v4e.method.sampler import euler
from v4e.models.dit import predict
from v4e.training.student import StudentTrainer
from v4e.types import Sample, TargetRequest


class OwnPath:
    """Iterates over requests whose first samples are at states on the student's own way.

    All forwards of a step ask at one place of the way, on all workers: walking there is a collective of sharded ones.
    """

    def __init__(
        self, requests: Iterable[TargetRequest], trainer: StudentTrainer, read: Callable[[str], Sample]
    ) -> None:
        self.requests, self.trainer, self.read = requests, trainer, read
        self.path_s = 0.0  # seconds spent on walking so far

    def __iter__(self) -> Iterator[TargetRequest]:
        first, forwards = self.trainer.step_count, self.trainer.forwards
        for number, request in enumerate(self.requests):
            start = time.perf_counter()
            request = self._placed(request, first + number // forwards)
            self.path_s += time.perf_counter() - start
            yield request

    def _placed(self, request: TargetRequest, step: int) -> TargetRequest:
        config, trainer = self.trainer.config, self.trainer
        own = config.distill.own(len(request.sample_ids))
        samples = [self.read(key) for key in request.sample_ids[:own]]
        until = sample_seed(config.run.seed, "path", step) % config.distill.steps
        way = times(config.distill.steps, config.flow.shift).tolist()[: until + 1]
        x_BCFHW = walk(trainer, samples, request.seeds[:own], way)
        return replace(request, x_t=x_BCFHW.bfloat16().cpu().view(torch.uint8).numpy().tobytes(), t=way[-1])


@torch.no_grad()
def walk(trainer: StudentTrainer, samples: Sequence[Sample], seeds: Sequence[int], times: Sequence[float]) -> Tensor:
    """Returns where the student is at the last of `times`, (B, C, F, H, W), from the noise of its `seeds` at 1."""
    inputs = student_inputs(samples, trainer.device, trainer.dtype)
    shape, shift = samples[0].z_i2v_CFHW.shape, trainer.config.flow.shift
    eps_BCFHW = torch.stack([draw(seed, shape, shift)[1] for seed in seeds]).to(trainer.device)

    def velocity(x_BCFHW: Tensor, t: float) -> Tensor:
        t_B = torch.full((len(samples),), t, device=trainer.device)
        return predict(trainer.dit, x_BCFHW.to(trainer.dtype), t_B, inputs, dtype=trainer.dtype)[0].float()

    return euler(velocity, eps_BCFHW, times)
