"""The objective: block-wise distillation (Eq. 2), tail-frame supervision (Eq. 5 and 6).

Eq. 1, their weighted sum, is a line in ``StudentTrainer.losses``.

Shapes: B batch, C latent channels, F latent frames, H W latent height and width, N DiT tokens, D width, K taps.
"""

from typing import Literal

import torch
from torch import Tensor

from v4e.config.times import Times
from v4e.method.flow import times as sampler_times

# Each term of Eq. 1, by its name in a run's records, with the title of its curve.
TERMS = {"kd": "L_kd", "tail": "L_tail", "flow": "flow matching"}


def kd_tokens(h_ND: Tensor, tokens: Literal["all", "tail"], frames: int) -> Tensor:
    """The tokens that Eq. 2 compares, of states (..., N, D) of `frames` F: all, or those of the last latent frame.

    Wan orders tokens by frame, height, width, one token frame a latent frame: they are the last N / F. A view.

    Raises:
        ValueError: F does not divide N.
    """
    if tokens == "all":
        return h_ND
    count, rest = divmod(h_ND.shape[-2], frames)
    if rest:
        raise ValueError(f"teacher.tokens=tail: {h_ND.shape[-2]} tokens do not divide over {frames} latent frames")
    return h_ND[..., -count:, :]


def block_kd_loss(stu_KBND: Tensor, tea_KBND: Tensor, reduction: Literal["relative", "mean", "sum"]) -> Tensor:
    """Eq. 2: squared distance of hidden states, summed over taps; a scalar.

    ``sum`` is the equation to the letter for each sample, averaged over the batch. ``mean`` divides by the tokens and
    the width. ``relative`` (ours) divides each tap's mean squared distance by its mean squared teacher state. Deep
    blocks have large states, which would otherwise drown the others.
    """
    squared = (stu_KBND - tea_KBND).pow(2)
    match reduction:
        case "sum":
            return squared.sum() / squared.shape[1]
        case "mean":
            return squared.mean((1, 2, 3)).sum()
        case "relative":
            return (squared.mean((1, 2, 3)) / tea_KBND.pow(2).mean((1, 2, 3))).sum()


def in_tail(t_B: Tensor, times: Times, shift: float) -> Tensor:
    """T_tail of Eq. 6: whether each t is among `times`; (B,) of booleans.

    A step of the sampler, whose grid has `shift`, passes through the t from where it ends, exclusive, to where it
    begins, inclusive.
    """
    if not times.of:
        return t_B <= times.bound
    grid = sampler_times(times.of, shift).tolist()
    passed = [(grid[step] < t_B) & (t_B <= grid[step - 1]) for step in times.steps]
    return torch.stack(passed).any(0)


def tail_weight(t_B: Tensor, power: float, times: Times, shift: float) -> Tensor:
    """Eq. 5 on T_tail: w(t) = (1 - t)^power where t in [0, 1] is among `times`, else 0; the paper's power is 3. (B,)"""
    return (1 - t_B) ** power * in_tail(t_B, times, shift)


def tail_loss(z_stu_BCHW: Tensor, z_gt_BCHW: Tensor, weight_B: Tensor, beta: float) -> Tensor:
    """Eq. 6: w(t) (|z - z_gt|_1 + beta |grad z - grad z_gt|_1), averaged over the batch; a scalar.

    `weight_B` is w(t) of :func:`tail_weight`. Samples whose t is not in T_tail count in the average, as zeros.

    Norms are means over elements: `beta` and the loss weight do not depend on the resolution. The gradient term adds
    two means, of the forward differences along H and along W.
    """
    difference = z_stu_BCHW - z_gt_BCHW
    value = difference.abs().mean((1, 2, 3))
    if beta:
        down = difference.diff(dim=2).abs().mean((1, 2, 3))
        right = difference.diff(dim=3).abs().mean((1, 2, 3))
        value = value + beta * (down + right)
    return (weight_B * value).mean()


def flow_loss(u_BCFHW: Tensor, target_BCFHW: Tensor) -> Tensor:
    """Plain flow matching, mean squared error of the velocity: the control, not the method."""
    return (u_BCFHW - target_BCFHW).pow(2).mean()
