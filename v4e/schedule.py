"""Which samples a worker sees when: a pure function of the seed, the step and the number of workers."""

from collections.abc import Iterator, Sequence

from v4e.config import Config
from v4e.data.order import sample_order
from v4e.flow import sample_seed
from v4e.types import TargetRequest


def requests(
    ids: Sequence[str], config: Config, *, first_step: int, rank: int = 0, world: int = 1
) -> Iterator[TargetRequest]:
    """The forwards of worker `rank` of `world`, from step `first_step` (counted from 0) to the end of the run.

    All epochs in a row make one endless list of samples. Step s takes the next ``batch * accumulate`` of it, cut
    into `accumulate` forwards, and worker r does forwards r, r + world, ... So the samples of a step, and what is
    in a forward, do not depend on the number of workers, and every epoch sees each sample exactly once.
    """
    batch, accumulate, seed = config.optim.batch, config.optim.accumulate, config.run.seed
    order: list[str] = []
    epoch = -1
    for step in range(first_step, config.optim.steps):
        for forward in range(rank, accumulate, world):
            first = (step * accumulate + forward) * batch
            keys, seeds = [], []
            for position in range(first, first + batch):
                if position // len(ids) != epoch:
                    epoch = position // len(ids)
                    order = sample_order(ids, seed, epoch)
                keys.append(order[position % len(ids)])
                seeds.append(sample_seed(seed, keys[-1], epoch))
            yield TargetRequest(sample_ids=tuple(keys), seeds=tuple(seeds))
