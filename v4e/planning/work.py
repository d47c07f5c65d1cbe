"""The needs of a run: FLOPs, bytes, and the pace at which teacher and student work together.

Arithmetic alone: no weights, no torch, no Ray. A multiply-add is 2 FLOPs; times are seconds.

Shape letters: K taps, B batch, F latent frames, H W latent height and width, N DiT tokens, D width, T text tokens.
I is image tokens.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from v4e.config import Config
from v4e.models.sizes import DitSizes
from v4e.wan import TEXT_LEN
from v4e.wire import packed_bytes

MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Reads:
    """The tokens of one sample that a DiT reads."""

    clip: int  # N
    text: int  # T
    image: int  # I, of all its images


@dataclass(frozen=True, kw_only=True)
class SampleWork:
    """The cost of one sample, whatever the machines."""

    student_reads: Reads
    teacher_reads: Reads
    student_flops: int  # forward and backward, and what the student samples itself
    teacher_flops: int  # of each rank of a replica
    shape_KBND: tuple[int, int, int, int]  # of a target, which is of optim.batch samples
    target_bytes: int  # packed; 0 without distillation

    @property
    def balance(self) -> float:
        """Replicas that keep up with one worker if all ranks are equally fast: teacher's work over the student's."""
        return self.teacher_flops / self.student_flops


@dataclass(frozen=True, kw_only=True)
class Speed:
    """TFLOP/s that a rank reaches."""

    train: float  # of a worker, what it computes a second time included, what it loses to the others too
    infer: float  # of a teacher's rank, what it loses to the others included


@dataclass(frozen=True, kw_only=True)
class Pace:
    """The joint pace of teacher and student, without reading the store or other work outside the DiTs."""

    step_s: float
    samples_per_s: float
    mib_per_s: float  # of targets, to all workers together
    wait: float  # share of the workers' time
    busy: float  # share of the replicas' time
    replicas: int  # the fewest that keep up
    prefetch: int  # the least that hides how long a target takes


# FLOPs


def block_flops(dit: DitSizes, reads: Reads) -> int:
    """Returns the FLOPs of one block on one sample.

    Counted are its linear layers, attention among the N tokens, and attention over text and images.
    """
    width, seen = dit.width, reads.text + reads.image
    linear = 2 * reads.clip * (6 * width * width + 2 * width * dit.ffn) + 4 * seen * width * width
    return linear + 4 * reads.clip * (reads.clip + seen) * width


def embedding_flops(dit: DitSizes, reads: Reads) -> int:
    """Returns the FLOPs before the blocks: patches, timestep, text and images to width D."""
    patches = reads.clip * dit.channels_in * math.prod(dit.patch) * dit.width
    timestep = (dit.frequencies + dit.width + 6 * dit.width) * dit.width
    text = reads.text * (dit.text_width + dit.width) * dit.width
    image = reads.image * (dit.image_width + dit.width) * dit.image_width
    return 2 * (patches + timestep + text + image)


def forward_flops(dit: DitSizes, reads: Reads) -> int:
    """Returns the FLOPs of a whole forward on one sample."""
    output = 2 * reads.clip * dit.width * dit.channels_out * math.prod(dit.patch)
    return embedding_flops(dit, reads) + dit.layers * block_flops(dit, reads) + output


def left_of(frames: int, middle_steps: int) -> int:
    """Returns how many of an edit's latent frames are decoded: source, tail and tail again where others left."""
    return min(frames, 3) if middle_steps else frames


def sampling_flops(dit: DitSizes, reads: Reads, *, frames: int, steps: int, guidance: float, middle_steps: int) -> int:
    """Returns the FLOPs of all steps of one edit of `frames` latent frames; after `middle_steps`, two are left."""
    short = replace(reads, clip=reads.clip // frames * min(frames, 2))
    whole = middle_steps or steps
    passes = 1 if guidance == 1 else 2
    return passes * (whole * forward_flops(dit, reads) + (steps - whole) * forward_flops(dit, short))


def tapped_flops(dit: DitSizes, reads: Reads, taps: Sequence[int], tp: int = 1) -> int:
    """Returns the FLOPs of one of `tp` ranks in a forward that ends after the last of `taps`.

    The ranks split blocks and nothing else.
    """
    return embedding_flops(dit, reads) + (max(taps) + 1) * block_flops(dit, reads) // tp


def training_flops(dit: DitSizes, reads: Reads, *, recompute: bool) -> int:
    """Returns the FLOPs of forward and backward on one sample.

    They are 3 forwards, or 4 where the backward computes activations again.
    """
    return (4 if recompute else 3) * forward_flops(dit, reads)


def path_flops(config: Config, dit: DitSizes, reads: Reads) -> int:
    """Returns the FLOPs of the student's own sampling for one sample of a batch, in the mean over places on its way."""
    share, steps = config.distill.own(config.optim.batch) / config.optim.batch, config.distill.steps
    forwards = steps if config.distill.shown == "hindsight" else (steps - 1) / 2
    return round(share * forwards * forward_flops(dit, reads))


# Bytes


def tensor_parallel_bytes(config: Config, dit: DitSizes, reads: Reads) -> int:
    """Returns the bytes that a rank receives in a target's sums over ranks: three a block, twice around a ring."""
    tp = config.teacher.tp
    blocks = (max(config.kd.taps) + 1) if config.kd.taps else dit.layers
    return round(3 * blocks * reads.clip * dit.width * 2 * 2 * (tp - 1) / tp)


# A run


def clip_tokens(dit: DitSizes, grid_FHW: Sequence[int]) -> int:
    """N of a clip's latent grid."""
    return math.prod(size // patch for size, patch in zip(grid_FHW, dit.patch, strict=True))


def text_tokens(longest: int, *, fold: bool) -> int:
    """Returns T of a batch by the tokens of its longest text: with all pads, or with one in their place."""
    return min(longest + 1, TEXT_LEN) if fold else TEXT_LEN


def work_of(
    config: Config,
    student: DitSizes,
    teacher: DitSizes,
    *,
    grid_FHW: Sequence[int],
    image_tokens: int,
    instruction: int,
    evolution: int,
) -> SampleWork:
    """Returns the cost of a sample of `config`.

    Args:
        student: its sizes.
        teacher: its sizes.
        grid_FHW: the grid of a clip's latents.
        image_tokens: tokens of one image.
        instruction: tokens of a batch's longest instruction.
        evolution: tokens of a batch's longest evolution caption.
    """
    distils, tokens, fold = config.kd.weight > 0, clip_tokens(student, grid_FHW), config.models.fold_pad
    caption = evolution if config.teacher.text == "evolution" else instruction
    student_reads, teacher_reads = (
        Reads(clip=tokens, text=text_tokens(longest, fold=fold), image=dit.images * image_tokens)
        for dit, longest in ((student, instruction), (teacher, caption))
    )
    sent = tokens if config.teacher.tokens == "all" else tokens // grid_FHW[0]
    shape_KBND = (len(config.kd.taps), config.optim.batch, sent, student.width)
    return SampleWork(
        student_reads=student_reads,
        teacher_reads=teacher_reads,
        student_flops=training_flops(student, student_reads, recompute=config.train.recompute == "full")
        + path_flops(config, student, student_reads),
        teacher_flops=tapped_flops(teacher, teacher_reads, config.kd.taps, config.teacher.tp) if distils else 0,
        shape_KBND=shape_KBND,
        target_bytes=packed_bytes(shape_KBND, config.teacher.payload) if distils else 0,
    )


def seconds_of(config: Config, work: SampleWork, speed: Speed) -> tuple[float, float]:
    """Returns the seconds of one batch: forward and backward on a worker, and its target on a replica."""
    tera = config.optim.batch / 1e12
    teacher_s = work.teacher_flops * tera / speed.infer if work.teacher_flops else 0.0
    return work.student_flops * tera / speed.train, teacher_s


def replicas_needed(config: Config, student_s: float, teacher_s: float) -> int:
    """The fewest that keep up with the workers, where a batch takes one `student_s`, and its target `teacher_s`."""
    return _at_least(config.train.workers * teacher_s / student_s)


def pool_size(config: Config, needed: int) -> int:
    """Returns the size of the pool when `needed` replicas keep up with the workers."""
    return max(config.teacher.replicas, min(needed, config.teacher.most_replicas))


def pace_of(config: Config, target_bytes: int, student_s: float, teacher_s: float, replicas: int) -> Pace:
    """Returns the pace of a run whose worker takes `student_s` a batch, and each replica `teacher_s` a target.

    The slower side sets the pace. A worker also holds ``teacher.prefetch`` targets from request to training, so that
    many take at least `student_s` + `teacher_s`, however many replicas there are. Workers that wait for each other at
    every batch lose up to 1/4 more with teacher.prefetch=2, and nothing with 4.
    """
    workers, prefetch = config.train.workers, config.teacher.prefetch
    batch_s = student_s
    if teacher_s:
        batch_s = max(student_s, teacher_s * workers / replicas, (student_s + teacher_s) / prefetch)
    step_s = batch_s * config.optim.accumulate / workers
    return Pace(
        step_s=step_s,
        samples_per_s=config.optim.batch * config.optim.accumulate / step_s,
        mib_per_s=config.optim.accumulate * target_bytes / MIB / step_s,
        wait=1 - student_s / batch_s,
        busy=teacher_s * workers / replicas / batch_s,
        replicas=replicas_needed(config, student_s, teacher_s),
        prefetch=_at_least(1 + teacher_s / student_s),
    )


def _at_least(number: float) -> int:
    """The next whole number; the one below where rounding alone lies between."""
    return math.ceil(number * (1 - 1e-9))
