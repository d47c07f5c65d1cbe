"""A DiT of random weights with its inputs, and diffusers' own forward of it."""

import torch

from v4e.method.conditioning import condition
from v4e.models import tiny
from v4e.models.dit import DitInputs

TAPS = (1, 3, 5)


def make(last: bool):
    torch.manual_seed(0)
    dit = tiny.build_dit(last_frame=last).eval()
    for p in dit.parameters():  # Wan's output layers start at zero, which would hide errors
        torch.nn.init.normal_(p, std=0.05)
    text = [torch.randn(n, tiny.TEXT_WIDTH) for n in (7, 20, 1)]
    image = torch.randn(3, tiny.IMAGE_TOKENS * (2 if last else 1), tiny.IMAGE_WIDTH)
    y = condition(torch.randn(3, 16, 2, 8, 8), last=last)
    inputs = DitInputs(y_BCFHW=y, text=text, image_BID=image)
    return dit, torch.randn(3, 16, 2, 8, 8), torch.tensor([0.1, 0.6, 0.99]), inputs


@torch.no_grad()
def stock(dit, x_t, t, inputs):
    """diffusers' forward on 512 zero-padded text tokens, with plain hooks."""
    padded = torch.zeros(3, 512, tiny.TEXT_WIDTH)
    for row, tokens in zip(padded, inputs.text, strict=True):
        row[: len(tokens)] = tokens
    image = inputs.image_BID
    if dit.config.pos_embed_seq_len is not None:
        image = image.unflatten(1, (2, -1)).flatten(0, 1)  # source and edit of sample 0, of sample 1, ...
    states = {}
    hooks = [
        dit.blocks[b].register_forward_hook(lambda _m, _i, out, b=b: states.__setitem__(b, out.clone())) for b in TAPS
    ]
    u = dit(torch.cat([x_t, inputs.y_BCFHW], 1), 1000 * t, padded, image, return_dict=False)[0]
    for hook in hooks:
        hook.remove()
    return u, torch.stack([states[b] for b in TAPS])
