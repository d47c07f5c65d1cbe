"""One forward of a Wan DiT: velocity, and the hidden states after chosen blocks.

Shapes: B batch, C latent channels, F latent frames, H W latent height and width, K taps. Tokens: N of the DiT,
T of text, I of images. D is the width.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import WanTransformer3DModel
from torch import Tensor

from v4e.models.attention import folds, set_fold
from v4e.wan import TEXT_LEN


@dataclass(frozen=True, kw_only=True)
class DitInputs:
    """Everything that a Wan DiT reads beside ``(x_t, t)``."""

    y_BCFHW: Tensor  # mask channels and condition latents, from ``conditioning.condition``
    text: list[Tensor]  # B of shape (T, D), without pads
    image_BID: Tensor  # CLIP tokens; of two images (FLF2V): (B, 2 I, D), the source's and then the edit's


class _Stop(Exception):
    """Raised by the last tap's hook when no velocity is wanted."""


def pack_text(text: list[Tensor], *, fold: bool) -> tuple[Tensor, int]:
    """Pads texts (T_i, D) with zeros to (B, T, D).

    Returns the batch, and the number of equal pad tokens that its last token stands for. With `fold`, T is the longest
    text plus one; without, T is 512 and the number is 1.
    """
    longest = max(len(t) for t in text)
    if longest > TEXT_LEN:
        raise ValueError(f"text of {longest} tokens: Wan reads at most {TEXT_LEN}; truncate it when encoding")
    length = min(longest + 1, TEXT_LEN) if fold else TEXT_LEN
    packed = torch.stack([F.pad(t, (0, 0, 0, length - len(t))) for t in text])
    return packed, TEXT_LEN - length + 1


def predict(
    dit: WanTransformer3DModel,
    x_t_BCFHW: Tensor,
    t_B: Tensor,
    inputs: DitInputs,
    *,
    taps: tuple[int, ...] = (),
    dtype: torch.dtype | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Returns the velocity u_BCFHW, and the hidden states h_BND after each block of `taps`.

    `t_B` lies in [0, 1]. `dtype` is what the model computes in, if not its weights' own: a sharded model may cast them
    on the way.
    """
    with _tapped(dit, taps) as states:
        u_BCFHW = _forward(dit, x_t_BCFHW, t_B, inputs, dtype)
    return u_BCFHW, [states[b] for b in taps]


def hidden_states(
    dit: WanTransformer3DModel,
    x_t_BCFHW: Tensor,
    t_B: Tensor,
    inputs: DitInputs,
    *,
    taps: tuple[int, ...],
) -> Tensor:
    """h_KBND of :func:`predict`, without the blocks after the last tap."""
    with _tapped(dit, taps, stop=True) as states, suppress(_Stop):
        _forward(dit, x_t_BCFHW, t_B, inputs)
    return torch.stack([states[b] for b in taps])


@contextmanager
def _tapped(dit: WanTransformer3DModel, taps: tuple[int, ...], *, stop: bool = False) -> Iterator[dict[int, Tensor]]:
    """Fills a dict with the states after each of `taps` while forwards run; with `stop` the last tap ends them."""
    states: dict[int, Tensor] = {}

    def keep(block: int):
        def hook(_module, _inputs, output: Tensor) -> None:
            states[block] = output
            if stop and block == taps[-1]:
                raise _Stop

        return hook

    handles = [dit.blocks[b].register_forward_hook(keep(b)) for b in taps]
    try:
        yield states
    finally:
        for handle in handles:
            handle.remove()


def _forward(
    dit: WanTransformer3DModel,
    x_t_BCFHW: Tensor,
    t_B: Tensor,
    inputs: DitInputs,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """diffusers' forward on our inputs."""
    text_BTD, pads = pack_text(inputs.text, fold=folds(dit))
    set_fold(dit, text_BTD.shape[1], pads)
    dtype, image_BID = dtype or dit.patch_embedding.weight.dtype, inputs.image_BID
    if dit.config["pos_embed_seq_len"] is not None:  # FLF2V: diffusers wants the two images on the batch axis
        image_BID = image_BID.reshape(2 * len(image_BID), -1, image_BID.shape[-1])
    return dit(
        hidden_states=torch.cat([x_t_BCFHW, inputs.y_BCFHW], 1).to(dtype),
        timestep=(1000 * t_B).to(torch.float32),
        encoder_hidden_states=text_BTD.to(dtype),
        encoder_hidden_states_image=image_BID.to(dtype),
        return_dict=False,
    )[0]
