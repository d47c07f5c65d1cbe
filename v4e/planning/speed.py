"""The speed of a rank of this machine on a recipe's models, with random weights and as few blocks as possible.

Shapes: B batch, C latent channels, F latent frames, H W latent height and width, T text tokens, I image tokens, D
width.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from diffusers import WanTransformer3DModel
from torch import Tensor

from v4e.config import Config
from v4e.models.dit import DitInputs, hidden_states, predict
from v4e.models.recompute import recompute_blocks
from v4e.models.sizes import Pipeline
from v4e.planning.work import Reads, block_flops, tapped_flops, training_flops
from v4e.weights.load import DTYPES, any_device, move, set_attention

ENOUGH_FLOPS = 1e12  # of a forward: all blocks of a tiny DiT, one of a large one
TIMED_S = 0.5
LIMIT_S = 60.0
PROBE = 1024  # side of the matrices that tell beforehand how long it would take


def training_tflops(config: Config, student: Pipeline, reads: Reads, grid_FHW: Sequence[int]) -> float:
    """TFLOP/s of forward and backward on batches of ``optim.batch``; neither the optimizer nor communication.

    Raises:
        ValueError: one block is too much for this machine.
    """
    model, blocks = _some_blocks(config, student, reads, "plan.train_tflops", DTYPES[config.train.dtype])
    recompute_blocks(model, config.train.recompute)
    model.train()
    inputs = _inputs(config, student, reads, grid_FHW, model)

    def step() -> None:
        predict(model, *inputs)[0].float().square().mean().backward()

    cut = replace(student.dit, layers=blocks)
    return (
        config.optim.batch
        * training_flops(cut, reads, recompute=config.train.recompute == "full")
        / 1e12
        / _seconds(step)
    )


def teacher_tflops(config: Config, teacher: Pipeline, reads: Reads, grid_FHW: Sequence[int]) -> float:
    """TFLOP/s of a forward to a tap on batches of ``optim.batch``, on one rank of one.

    Raises:
        ValueError: one block is too much for this machine.
    """
    model, blocks = _some_blocks(config, teacher, reads, "plan.infer_tflops", DTYPES[config.models.dtype])
    model.eval().requires_grad_(False)
    inputs, taps = _inputs(config, teacher, reads, grid_FHW, model), (blocks - 1,)

    @torch.inference_mode()
    def target() -> None:
        hidden_states(model, *inputs, taps=taps)

    return config.optim.batch * tapped_flops(teacher.dit, reads, taps) / 1e12 / _seconds(target)


def _some_blocks(
    config: Config, pipeline: Pipeline, reads: Reads, key: str, dtype: torch.dtype
) -> tuple[WanTransformer3DModel, int]:
    """The pipeline's DiT with random weights and as many blocks as its number, on this machine's device.

    Raises:
        ValueError: they would take too long here; names `key`, which says what they are wanted for.
    """
    device = any_device()
    if device.type == "cpu":
        torch.set_num_threads(1)  # what Ray gives a rank without a GPU
    flops = config.optim.batch * block_flops(pipeline.dit, reads)
    blocks = min(pipeline.dit.layers, 1 + int(ENOUGH_FLOPS / flops))
    side = torch.ones(PROBE, PROBE, device=device, dtype=dtype)
    expected_s = 3 * 4 * blocks * flops / (2 * PROBE**3 / _seconds(lambda: side @ side))  # three of at most 4 forwards
    if expected_s > LIMIT_S:
        raise ValueError(
            f"to measure {key} on this machine's {device.type}, {blocks} of {pipeline.dit.layers} blocks would take "
            f"about {expected_s:.0f} s: say what your machine reaches, with {key}= in TFLOP/s a rank"
        )
    settings = {key: value for key, value in pipeline.transformer.items() if not key.startswith("_")}
    model = WanTransformer3DModel(**{**settings, "num_layers": blocks})
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    return move(set_attention(model, config.models.attention, config.models.fold_pad), device), blocks


def _inputs(
    config: Config, pipeline: Pipeline, reads: Reads, grid_FHW: Sequence[int], model: WanTransformer3DModel
) -> tuple[Tensor, Tensor, DitInputs]:
    """Random ones, as :func:`v4e.models.dit.predict` takes them."""
    like, sizes, batch = model.patch_embedding.weight, pipeline.dit, config.optim.batch

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, device=like.device, dtype=like.dtype)

    x_t_BCFHW = normal(batch, sizes.channels_out, *grid_FHW)
    y_BCFHW = normal(batch, sizes.channels_in - sizes.channels_out, *grid_FHW)
    text = [normal(reads.text - 1, sizes.text_width)] * batch  # the last of T stands for the pads
    image_BID = normal(batch, reads.image, sizes.image_width)
    inputs = DitInputs(y_BCFHW=y_BCFHW, text=text, image_BID=image_BID)
    return x_t_BCFHW, torch.full((batch,), 0.5, device=like.device), inputs


def _seconds(work: Callable[[], object]) -> float:
    """Returns the seconds of one call: the fastest within TIMED_S, of at least two, after a warm-up."""

    def timed() -> float:
        start = time.perf_counter()
        work()
        if any_device().type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    timed()
    times = [timed(), timed()]
    while sum(times) < TIMED_S:
        times.append(timed())
    return min(times)
