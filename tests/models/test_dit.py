"""Our forward equals diffusers' own: velocity and taps, pads folded or not, I2V and FLF2V."""

import pytest
import torch

from v4e.method.conditioning import condition
from v4e.models import tiny
from v4e.models.attention import fold_pads
from v4e.models.dit import hidden_states, pack_text, predict

TAPS = (1, 3, 5)


def make(last: bool):
    torch.manual_seed(0)
    dit = tiny.build_dit(last_frame=last).eval()
    for p in dit.parameters():  # Wan's output layers start at zero, which would hide errors
        torch.nn.init.normal_(p, std=0.05)
    text = [torch.randn(n, tiny.TEXT_WIDTH) for n in (7, 20, 1)]
    image = torch.randn(3, tiny.IMAGE_TOKENS * (2 if last else 1), tiny.IMAGE_WIDTH)
    y = condition(torch.randn(3, 16, 2, 8, 8), last=last)
    return dit, torch.randn(3, 16, 2, 8, 8), torch.tensor([0.1, 0.6, 0.99]), y, text, image


@torch.no_grad()
def stock(dit, x_t, t, y, text, image):
    """diffusers' forward on 512 zero-padded text tokens, with plain hooks."""
    padded = torch.zeros(3, 512, tiny.TEXT_WIDTH)
    for row, tokens in zip(padded, text, strict=True):
        row[: len(tokens)] = tokens
    if dit.config.pos_embed_seq_len is not None:
        image = image.unflatten(1, (2, -1)).flatten(0, 1)  # source and edit of sample 0, of sample 1, ...
    states = {}
    hooks = [
        dit.blocks[b].register_forward_hook(lambda _m, _i, out, b=b: states.__setitem__(b, out.clone())) for b in TAPS
    ]
    u = dit(torch.cat([x_t, y], 1), 1000 * t, padded, image, return_dict=False)[0]
    for hook in hooks:
        hook.remove()
    return u, torch.stack([states[b] for b in TAPS])


@pytest.mark.parametrize("last", [False, True])
@torch.no_grad()
def test_velocity_and_taps_are_diffusers_own(last):
    dit, *inputs = make(last)
    u, h = stock(dit, *inputs)
    ours_u, ours_h = predict(dit, *inputs, taps=TAPS)
    torch.testing.assert_close(ours_u, u, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(torch.stack(ours_h), h, atol=1e-6, rtol=1e-5)
    fold_pads(dit)
    folded_u, folded_h = predict(dit, *inputs, taps=TAPS)
    torch.testing.assert_close(folded_u, u, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(torch.stack(folded_h), h, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_forward_stops_after_the_last_tap():
    dit, *inputs = make(False)
    ran = []
    dit.blocks[4].register_forward_hook(lambda *_: ran.append(4))
    _, whole = predict(dit, *inputs, taps=(1, 3))
    assert ran == [4]
    h = hidden_states(dit, *inputs, taps=(1, 3))
    assert ran == [4]
    assert torch.equal(h, torch.stack(whole))
    assert not dit.blocks[3]._forward_hooks  # nothing is left behind


def test_gradients_flow_through_the_fold():
    dit, *inputs = make(False)
    grads = []
    for fold in (False, True):
        if fold:
            fold_pads(dit)
        dit.zero_grad()
        predict(dit, *inputs)[0].pow(2).mean().backward()
        grads.append(dit.condition_embedder.text_embedder.linear_1.weight.grad.clone())
    torch.testing.assert_close(grads[0], grads[1], atol=1e-7, rtol=1e-3)


def test_a_text_that_fills_all_512_tokens_is_left_whole_and_a_longer_one_refused():
    packed, pads = pack_text([torch.ones(512, 3), torch.ones(5, 3)], fold=True)
    assert packed.shape == (2, 512, 3)
    assert pads == 1
    assert pack_text([torch.ones(511, 3)], fold=True)[1] == 1
    assert pack_text([torch.ones(500, 3)], fold=True)[1] == 12
    with pytest.raises(ValueError, match="513 tokens"):
        pack_text([torch.ones(513, 3)], fold=True)
