"""The student's own way from noise to an edit: the states on it at which the teacher is asked, where a run wants them.

In training, states are noised rollouts, which the student meets only if it is as good as the teacher. In sampling it
meets its own. A request carries them, so that it is a pure function still. They are what the weights make of a seed
when the request leaves: with ``teacher.prefetch=1`` those of the step in which they are trained on.

Shape letters: B batch, C latent channels, F latent frames, H W latent height and width.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from v4e.method.flow import draw, sample_seed, times
from v4e.method.inputs import student_inputs
from v4e.method.sampler import euler
from v4e.models.dit import predict
from v4e.training.recordings import Recordings
from v4e.training.student import StudentTrainer
from v4e.types import Sample, TargetRequest

SHOWN_DRAW = 2  # of the edit to show, apart from the noise of training and of rollouts


class OwnPath:
    """Iterates over requests whose first samples are at states on the student's own way.

    All forwards of a step ask at one place of the way, on all workers: walking there is a collective of sharded ones.
    """

    def __init__(
        self,
        requests: Iterable[TargetRequest],
        trainer: StudentTrainer,
        read: Callable[[str], Sample],
        recordings: Recordings | None = None,
    ) -> None:
        """Takes the samples' other recorded edits in `recordings`, where ``distill.shown`` asks for them."""
        self.requests, self.trainer, self.read, self.recordings = requests, trainer, read, recordings
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
        way = times(config.distill.steps, config.flow.shift).tolist()
        shape = samples[0].z_i2v_CFHW.shape
        eps_BCFHW = torch.stack([draw(seed, shape, config.flow.shift)[1] for seed in request.seeds[:own]])
        x_BCFHW = walk(trainer, samples, eps_BCFHW.to(trainer.device), way[: until + 1])
        shown = self._shown(samples, x_BCFHW, way[until:], step)
        bits = x_BCFHW.bfloat16().cpu().view(torch.uint8).numpy().tobytes()
        return replace(request, x_t=bits, t=way[until], shown=shown)

    def _shown(self, samples: Sequence[Sample], x_BCFHW: Tensor, rest: Sequence[float], step: int) -> tuple[str, ...]:
        """Chooses the edits to show for states at the first of the times `rest`."""
        config, trainer = self.trainer.config, self.trainer
        if config.distill.shown == "recorded" or self.recordings is None:
            return ()
        hindsight = config.distill.shown == "hindsight"
        seen_BCFHW = walk(trainer, samples, x_BCFHW, rest) if hindsight else x_BCFHW
        t, found = 0.0 if hindsight else rest[0], []
        for sample, seen_CFHW in zip(samples, seen_BCFHW.cpu(), strict=True):
            ids = self.recordings.of(sample.id)
            tails_KCHW = torch.stack([self.read(key).z_tail_CHW for key in ids])
            p_K = posterior(seen_CFHW[:, -1], tails_KCHW, t)
            seed = sample_seed(config.run.seed, sample.id, step, draw=SHOWN_DRAW)
            found.append(ids[np.random.default_rng(seed).choice(len(ids), p=p_K.numpy())])
        return tuple(found)


def posterior(x_CHW: Tensor, tails_KCHW: Tensor, t: float) -> Tensor:
    """Returns how likely each of K edits is given the last latent frame at time t, (K,) float64: Bayes' rule.

    ``x_t = (1 - t) z_k + t eps`` with eps normal, and all edits alike before. At t = 0 it is the nearest edit alone.
    """
    squares_K = (x_CHW - (1 - t) * tails_KCHW).double().pow(2).sum((1, 2, 3))
    if t == 0:
        return (squares_K == squares_K.min()).double() / (squares_K == squares_K.min()).sum()
    return torch.softmax(-squares_K / (2 * t * t), 0)


@torch.no_grad()
def walk(trainer: StudentTrainer, samples: Sequence[Sample], x_BCFHW: Tensor, times: Sequence[float]) -> Tensor:
    """Returns where the student is at the last of `times`, (B, C, F, H, W), from `x_BCFHW` at the first."""
    inputs = student_inputs(samples, trainer.device, trainer.dtype)

    def velocity(x_BCFHW: Tensor, t: float) -> Tensor:
        t_B = torch.full((len(samples),), t, device=trainer.device)
        return predict(trainer.dit, x_BCFHW.to(trainer.dtype), t_B, inputs, dtype=trainer.dtype)[0].float()

    return euler(velocity, x_BCFHW, times)
