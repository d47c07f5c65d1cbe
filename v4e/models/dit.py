"""One forward of a Wan DiT: velocity, and the hidden states after chosen blocks.

Shapes: B batch, C latent channels, F latent frames, H W latent height and width, N DiT tokens, D width, T text tokens,
I image tokens, K taps.
"""

import torch
import torch.nn.functional as F
from diffusers import WanTransformer3DModel
from torch import Tensor

from v4e.models.attention import folds, set_fold

TEXT_LEN = 512  # text tokens Wan attends to, pads included


class _Stop(Exception):
    """Raised by the last tap's hook when no velocity is wanted."""


def pack_text(text: list[Tensor], *, fold: bool) -> tuple[Tensor, int]:
    """Pad texts (T_i, D) with zeros to (B, T, D).

    Returns the batch and how many equal pad tokens its last one stands for: T is 512 and the count 1 without
    `fold`, else T is the longest text plus one.
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
    y_BCFHW: Tensor,
    text: list[Tensor],
    image_BID: Tensor,
    *,
    taps: tuple[int, ...] = (),
    last_tap_only: bool = False,
    dtype: torch.dtype | None = None,
) -> tuple[Tensor | None, Tensor | None]:
    """(velocity u_BCFHW, tapped hidden states h_KBND or None).

    `t_B` in [0, 1]; `y_BCFHW` from ``conditioning.condition``; `text` one (T, D) a sample without pads; `image_BID`
    CLIP tokens, for FLF2V those of source and edit one after the other, (B, 2 I, D). With `last_tap_only` the forward
    stops after the last tap and the velocity is None. `dtype` is what the model computes in, if not in its weights'
    own: a sharded model may cast them on the way.
    """
    text_BTD, pads = pack_text(text, fold=folds(dit))
    set_fold(dit, text_BTD.shape[1], pads)
    dtype = dtype or dit.patch_embedding.weight.dtype
    if dit.config.pos_embed_seq_len is not None:  # FLF2V: diffusers wants the two images on the batch axis
        image_BID = image_BID.reshape(2 * len(image_BID), -1, image_BID.shape[-1])
    states: dict[int, Tensor] = {}

    def keep(block: int):
        def hook(_module, _inputs, output: Tensor) -> None:
            states[block] = output
            if last_tap_only and block == taps[-1]:
                raise _Stop

        return hook

    handles = [dit.blocks[b].register_forward_hook(keep(b)) for b in taps]
    u = None
    try:
        u = dit(
            hidden_states=torch.cat([x_t_BCFHW, y_BCFHW], 1).to(dtype),
            timestep=1000 * t_B.to(torch.float32),
            encoder_hidden_states=text_BTD.to(dtype),
            encoder_hidden_states_image=image_BID.to(dtype),
            return_dict=False,
        )[0]
    except _Stop:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return u, torch.stack([states[b] for b in taps]) if taps else None
