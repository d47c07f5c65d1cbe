"""What the steps of an edit share changes no number, and VAE convolutions frame by frame are the 3D ones."""

import copy
from itertools import pairwise

import pytest
import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from v4e import flow
from v4e.batch import Inputs
from v4e.models.dit import predict
from v4e.models.framewise import FramewiseConv, framewise
from v4e.models.load import load_dit
from v4e.models.reuse import reusing
from v4e.models.tiny import build_vae
from v4e.sampler import sample, start


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module", params=[True, False], ids=["folded", "unfolded"])
def dit(random_family, request):
    return load_dit(str(random_family / "tiny-wan-i2v"), torch.float32, fold_pad=request.param).eval()


def inputs(batch: int = 2) -> Inputs:
    return Inputs(
        y_BCFHW=draw(1, batch, 20, 2, 8, 8),
        text=[draw(10 + n, 3 + 4 * n, 96) for n in range(batch)],
        image_BID=draw(3, batch, 17, 96),
    )


@torch.no_grad()
def plain_euler(dit, given: Inputs, empty, seeds: list[int], steps: int, guidance: float) -> torch.Tensor:
    x, times = start(given.y_BCFHW, seeds), flow.times(steps, 3.0).tolist()
    for t, t_next in pairwise(times):
        t_B = torch.full((len(seeds),), t)
        u, _ = predict(dit, x, t_B, given.y_BCFHW, given.text, given.image_BID)
        u_0, _ = predict(dit, x, t_B, given.y_BCFHW, empty, given.image_BID)
        x = x + (t_next - t) * (u_0 + guidance * (u - u_0))
    return x


def test_shared_steps_are_steps_that_share_nothing(dit):
    given, empty, seeds = inputs(), [draw(20, 5, 96), draw(21, 2, 96)], [4, 5]
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    before = dict(dit.attn_processors)
    z = sample(
        dit, given, seeds=seeds, steps=4, shift=3.0, solver="euler", scheduler=scheduler, guidance=3.0, empty=empty
    )
    torch.testing.assert_close(z, plain_euler(dit, given, empty, seeds, 4, 3.0), atol=1e-5, rtol=1e-5)
    assert dict(dit.attn_processors) == before  # the same objects


def calls(module: nn.Module) -> list[int]:
    seen: list[int] = []
    module.register_forward_hook(lambda *_: seen.append(1))
    return seen


def test_keys_values_and_the_first_self_attention_are_computed_once(random_family):
    dit = load_dit(str(random_family / "tiny-wan-i2v"), torch.float32).eval()
    block, given, scheduler = dit.blocks[0], inputs(1), UniPCMultistepScheduler()
    counted = {
        "text keys": calls(block.attn2.to_k),
        "image keys": calls(block.attn2.add_k_proj),
        "text": calls(dit.condition_embedder.text_embedder),
        "image": calls(dit.condition_embedder.image_embedder),
        "first self-attention": calls(block.attn1.to_q),
        "second self-attention": calls(dit.blocks[1].attn1.to_q),
        "rope": calls(dit.rope),
    }
    common = {"seeds": [0], "steps": 5, "shift": 3.0, "solver": "euler", "scheduler": scheduler}
    sample(dit, given, **common)
    plain = {name: len(seen) for name, seen in counted.items()}
    assert plain["text keys"] == plain["image keys"] == plain["image"] == plain["rope"] == 1
    assert plain["first self-attention"] == plain["second self-attention"] == 5
    for seen in counted.values():
        seen.clear()
    sample(dit, given, **common, guidance=2.0, empty=[draw(9, 1, 96)])
    guided = {name: len(seen) for name, seen in counted.items()}
    assert (guided["text keys"], guided["image keys"], guided["rope"]) == (2, 1, 1)
    assert (guided["first self-attention"], guided["second self-attention"]) == (5, 10)


def test_an_error_in_a_step_leaves_the_model_as_it_was(dit):
    before, modules = dict(dit.attn_processors), [type(m) for m in dit.modules()]
    with pytest.raises(RuntimeError, match="stop"), reusing(dit, guided=True):
        raise RuntimeError("stop")
    assert dict(dit.attn_processors) == before
    assert [type(m) for m in dit.modules()] == modules


@pytest.mark.parametrize("make", [build_vae, lambda: AutoencoderKLWan(base_dim=8)], ids=["tiny", "wan"])
@torch.no_grad()
def test_the_vae_frame_by_frame_is_the_vae(make):
    torch.manual_seed(0)
    stock = make().eval()
    ours = framewise(copy.deepcopy(stock))
    assert sum(isinstance(m, FramewiseConv) for m in ours.modules()) > 20
    assert ours.state_dict().keys() == stock.state_dict().keys()
    clip_BCPHW = draw(0, 2, 3, 9, 32, 48).clamp(-1, 1)
    z, expected = (vae.encode(clip_BCPHW, return_dict=False)[0].mode() for vae in (ours, stock))
    torch.testing.assert_close(z, expected, atol=1e-5, rtol=1e-5)
    decoded, expected = (vae.decode(z, return_dict=False)[0] for vae in (ours, stock))
    torch.testing.assert_close(decoded, expected, atol=1e-5, rtol=1e-5)


CONVS = [((3, 3, 3), 1, (1, 1, 1)), ((3, 1, 1), (2, 1, 1), (0, 0, 0)), ((3, 1, 1), 1, (1, 0, 0)), (1, 1, 0)]


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(CONVS),
    st.integers(1, 6),
    st.integers(0, 2),
)
def test_any_causal_convolution_is_its_frames(shape, frames, cached):
    kernel, stride, padding = shape
    conv = WanCausalConv3d(4, 6, kernel, stride, padding)
    cache = draw(1, 2, 4, cached, 7, 9) if cached else None
    x = draw(0, 2, 4, frames, 7, 9)
    if conv._padding[4] + frames < conv.kernel_size[0]:
        return  # nothing comes out
    with torch.no_grad():
        expected = conv(x, cache)
        conv.__class__ = FramewiseConv
        torch.testing.assert_close(conv(x, cache), expected, atol=1e-5, rtol=1e-5)
