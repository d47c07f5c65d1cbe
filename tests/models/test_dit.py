"""Our forward equals diffusers' own: velocity and taps, pads folded or not, I2V and FLF2V."""

import pytest
import torch

from tests.support.dit import TAPS, make, stock
from v4e.models.attention import fold_pads
from v4e.models.dit import hidden_states, pack_text, predict


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
