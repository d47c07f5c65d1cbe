"""Encoding of the corpus by Ray Data: tasks read and decode chunks, actors with the frozen models encode them."""

import pickle
from collections.abc import Iterator, Sequence
from typing import Any, TypedDict, cast

import ray.data
from torch import nn

from actors.batch.ray_data import dataset
from actors.reserved import options, reserved_device
from v4e.config import Config
from v4e.data.store.features import encode_samples, is_finite
from v4e.data.store.jobs import EncodeChunk, EncodeJob, Rejection, read_job, rejection
from v4e.data.store.store import Store
from v4e.weights.frozen import load_frozen
from v4e.weights.load import DTYPES

# Small shares, so that readers and encoders fit on any machine together; they never wait for a CPU of each other.
# Encoders on GPUs take none.
READ_CPUS = 0.25
ENCODE_CPUS = 0.5


class EncodeReport(TypedDict):
    """The outcome of one chunk: how many samples were written, and which triplets were rejected."""

    written: int
    rejected: list[Rejection]


class Encoder:
    """The frozen encoders on what Ray reserved for this process; writes what it encodes into the store."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.store = Store.open(config)
        self.frozen = load_frozen(config.models.student, DTYPES[config.models.dtype])
        device = reserved_device()
        for model in (self.frozen.vae, self.frozen.text_encoder, self.frozen.image_encoder):
            cast(nn.Module, model).to(device).eval().requires_grad_(False)

    def __call__(self, row: dict[str, bytes]) -> dict[str, bytes]:
        return {"report": pickle.dumps(self.encode(pickle.loads(row["chunk"])))}

    def encode(self, chunk: EncodeChunk) -> EncodeReport:
        """Encodes a chunk and writes the samples that the store lacks."""
        rejected = list(chunk.rejected)
        if not chunk.wanted:
            return EncodeReport(written=0, rejected=rejected)
        samples = encode_samples(
            self.frozen,
            [item.id for item in chunk.wanted],
            [item.texts for item in chunk.wanted],
            chunk.source_BHWC,
            chunk.edit_BHWC,
            frames=self.config.data.frames,
            context=self.config.tail.context,
        )
        written = 0
        for item, sample in zip(chunk.wanted, samples, strict=True):
            if not item.missing:
                continue
            if is_finite(sample):
                texts = item.texts
                self.store.write(sample, instruction=texts.instruction, caption=texts.caption, corpus=texts.corpus)
                written += 1
            else:
                rejected.append(rejection(item.id, "the encoders gave values that are not finite"))
        return EncodeReport(written=written, rejected=rejected)


def encode_jobs(jobs: Sequence[EncodeJob], config: Config) -> Iterator[EncodeReport]:
    """Does all `jobs`; yields a report per chunk, in any order.

    An encoder that dies is replaced and its chunk done again: writing a sample twice changes nothing.
    """
    settings, data = config.precompute, config.data

    def read(row: dict[str, bytes]) -> Iterator[dict[str, bytes]]:
        for chunk in read_job(pickle.loads(row["item"]), data):
            yield {"chunk": pickle.dumps(chunk)}

    reports = (
        dataset(jobs)
        .flat_map(read, num_cpus=READ_CPUS, compute=ray.data.TaskPoolStrategy(size=settings.readers))
        .map(
            cast(Any, Encoder),  # a class is what an actor pool takes; Ray's hint knows functions only
            fn_constructor_args=(config,),
            compute=ray.data.ActorPoolStrategy(size=min(settings.actors, len(jobs))),
            **options(settings.gpus_per_actor, ENCODE_CPUS),
        )
    )
    for row in reports.iter_rows():
        yield pickle.loads(row["report"])
