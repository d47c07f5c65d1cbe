"""What a rank of this machine reaches on a recipe's models: random weights, as many blocks as it takes to tell.

Shapes: B batch, C latent channels, F latent frames, H W latent height and width, T text tokens, I image tokens,
D width.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from diffusers import WanTransformer3DModel

from v4e.config import Config
from v4e.models.attention import fold_pads
from v4e.models.dit import hidden_states, predict
from v4e.models.load import move
from v4e.models.sizes import Pipeline, dit
from v4e.plan import Reads, Speed, Work, block_flops, tapped_flops, training_flops
from v4e.student import DTYPES

ENOUGH_FLOPS = 1e12  # of a forward: all blocks of a tiny DiT, one of a large one
TIMED_S = 0.5
LIMIT_S = 60.0
PROBE = 1024  # side of the matrices that tell beforehand how long it would take


def measure(config: Config, work: Work, student: Pipeline, teacher: Pipeline, grid_FHW: Sequence[int]) -> Speed:
    """Of a training rank (forward and backward; neither the optimizer nor communication) and of a teacher's rank.

    Raises:
        ValueError: one block is too much for this machine.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(1)  # what Ray gives a rank without a GPU
    dtypes = DTYPES[config.train.dtype], DTYPES[config.models.dtype]
    train = _rate(config, student, work.student_reads, grid_FHW, device, dtypes[0], trains=True)
    infer = _rate(config, teacher, work.teacher_reads, grid_FHW, device, dtypes[1], trains=False)
    return Speed(train=train, infer=infer)


def _rate(
    config: Config,
    pipeline: Pipeline,
    reads: Reads,
    grid_FHW: Sequence[int],
    device: torch.device,
    dtype: torch.dtype,
    *,
    trains: bool,
) -> float:
    """TFLOP/s on batches of ``optim.batch`` samples."""
    batch = config.optim.batch
    whole = dit(pipeline.transformer)
    blocks = min(whole.layers, 1 + int(ENOUGH_FLOPS / (batch * block_flops(whole, reads))))
    cut = replace(whole, layers=blocks)
    if trains:
        flops = batch * training_flops(cut, reads, recompute=config.train.recompute)
    else:
        flops = batch * tapped_flops(cut, reads, (blocks - 1,))
    _check_affordable(flops, blocks, device, dtype, trains=trains)
    model = move(_build({**pipeline.transformer, "num_layers": blocks}, config, dtype), device)
    inputs = _inputs(pipeline, reads, batch, grid_FHW, device, dtype)

    def train() -> None:
        predict(model, *inputs)[0].float().square().mean().backward()

    @torch.inference_mode()
    def infer() -> None:
        hidden_states(model, *inputs, taps=(blocks - 1,))

    if trains and config.train.recompute:
        model.enable_gradient_checkpointing()
    model.train(trains).requires_grad_(trains)
    return flops / 1e12 / _seconds(train if trains else infer, device)


def _check_affordable(flops: int, blocks: int, device: torch.device, dtype: torch.dtype, *, trains: bool) -> None:
    side = torch.ones(PROBE, PROBE, device=device, dtype=dtype)
    rate = 2 * PROBE**3 / _seconds(lambda: side @ side, device)
    expected_s = 3 * flops / rate
    if expected_s > LIMIT_S:
        key = "plan.train_tflops" if trains else "plan.infer_tflops"
        raise ValueError(
            f"measuring {blocks} block(s) of the {'student' if trains else 'teacher'} would take about "
            f"{expected_s:.0f} s on this machine's {device.type}, which is no machine for it: "
            f"say what yours reach, with {key}= in TFLOP/s a rank"
        )


def _build(transformer: Mapping[str, Any], config: Config, dtype: torch.dtype) -> WanTransformer3DModel:
    model = WanTransformer3DModel(**{key: value for key, value in transformer.items() if not key.startswith("_")})
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    if config.models.fold_pad:
        fold_pads(model)
    if config.models.attention != "native":
        model.set_attention_backend(config.models.attention)
    return model


def _inputs(
    pipeline: Pipeline, reads: Reads, batch: int, grid_FHW: Sequence[int], device: torch.device, dtype: torch.dtype
):
    """Random ones, as :func:`v4e.models.dit.predict` takes them."""

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, device=device, dtype=dtype)

    sizes = pipeline.dit
    x_t_BCFHW = normal(batch, sizes.channels_out, *grid_FHW)
    y_BCFHW = normal(batch, sizes.channels_in - sizes.channels_out, *grid_FHW)
    text = [normal(reads.text - 1, sizes.text_width)] * batch  # the last of T stands for the pads
    image_BID = normal(batch, reads.image, sizes.image_width)
    return x_t_BCFHW, torch.full((batch,), 0.5, device=device), y_BCFHW, text, image_BID


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """Of one call, the fastest of those that fit into TIMED_S, at least two, after one that warms up."""

    def timed() -> float:
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    timed()
    times = [timed(), timed()]
    while sum(times) < TIMED_S:
        times.append(timed())
    return min(times)
