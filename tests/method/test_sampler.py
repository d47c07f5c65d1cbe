"""What the steps of an edit share changes no number, and VAE convolutions frame by frame are the 3D ones."""

import copy
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from v4e.method import flow
from v4e.method.sampler import sample, start
from v4e.models.attention import blocks
from v4e.models.dit import DitInputs, predict
from v4e.models.framewise import FramewiseConv, framewise
from v4e.models.reuse import reusing
from v4e.models.tiny import build_vae
from v4e.weights.load import load_dit


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module", params=[True, False], ids=["folded", "unfolded"])
def dit(random_family, request):
    return load_dit(str(random_family / "tiny-wan-i2v"), torch.float32, fold_pad=request.param).eval()


def inputs(batch: int = 2) -> DitInputs:
    return DitInputs(
        y_BCFHW=draw(1, batch, 20, 2, 8, 8),
        text=[draw(10 + n, 3 + 4 * n, 96) for n in range(batch)],
        image_BID=draw(3, batch, 17, 96),
    )


@torch.no_grad()
def plain_euler(dit, given: DitInputs, empty, seeds: list[int], steps: int, guidance: float) -> torch.Tensor:
    x, times = start(given.y_BCFHW, seeds), flow.times(steps, 3.0).tolist()
    for t, t_next in pairwise(times):
        t_B = torch.full((len(seeds),), t)
        u, _ = predict(dit, x, t_B, given)
        u_0, _ = predict(dit, x, t_B, replace(given, text=empty))
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


def tokens(module: nn.Module) -> list[int]:
    """Fills with a number a call: how many rows of the last axis but one it was given."""
    seen: list[int] = []
    module.register_forward_hook(lambda _module, given, _output: seen.append(given[0].shape[-2]))
    return seen


def test_what_steps_and_passes_share_is_computed_once(random_family):
    dit = load_dit(str(random_family / "tiny-wan-i2v"), torch.float32).eval()
    first, second, *_ = blocks(dit)
    embedder, given, steps = dit.condition_embedder, inputs(1), 5
    counted = {
        "text keys": tokens(first.attn2.to_k),
        "text values": tokens(first.attn2.to_v),
        "image keys": tokens(first.attn2.add_k_proj),
        "image values": tokens(first.attn2.add_v_proj),
        "text": tokens(embedder.text_embedder),
        "image": tokens(embedder.get_submodule("image_embedder")),
        "time": tokens(embedder.time_embedder),
        "modulation": tokens(embedder.time_proj),
        "first self-attention": tokens(first.attn1.to_q),
        "second self-attention": tokens(second.attn1.to_q),
        "rope": tokens(dit.rope),
    }

    def shared(**guidance) -> dict[str, list[int]]:
        for seen in counted.values():
            seen.clear()
        scheduler = UniPCMultistepScheduler()
        sample(dit, given, seeds=[0], steps=steps, shift=3.0, solver="euler", scheduler=scheduler, **guidance)
        return {name: list(seen) for name, seen in counted.items()}

    def seen_once(seen: dict[str, list[int]], texts: list[int]) -> None:
        """Keys and values of each of `texts`, with its one pad, and of the image once; time once a step."""
        for name in ("text keys", "text values"):
            assert seen[name] == texts, name
        for name in ("image keys", "image values", "rope"):
            assert len(seen[name]) == 1, name
        assert len(seen["image"]) == len(texts)  # diffusers' module embeds it with each text, and a time with both
        for name in ("time", "modulation"):
            assert len(seen[name]) == steps + len(texts), name
        assert sum(seen["text"]) == sum(texts) + steps  # for the same reason one token of it a step
        assert len(seen["first self-attention"]) == steps

    plain = shared()
    seen_once(plain, [4])
    assert len(plain["second self-attention"]) == steps
    guided = shared(guidance=2.0, empty=[draw(9, 1, 96)])
    seen_once(guided, [4, 2])
    assert len(guided["second self-attention"]) == 2 * steps


def test_an_error_in_a_step_leaves_the_model_as_it_was(dit):
    before, modules = dict(dit.attn_processors), [type(m) for m in dit.modules()]
    with pytest.raises(RuntimeError, match="stop"), reusing(dit, guided=True):
        raise RuntimeError("stop")
    assert dict(dit.attn_processors) == before
    assert [type(m) for m in dit.modules()] == modules


@pytest.mark.slow
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


@pytest.mark.parametrize(("cached", "taps"), [(0, 1 + 2 + 3), (1, 2 + 3 + 3), (2, 3 + 3 + 3)])
def test_frames_that_there_are_not_are_not_multiplied(cached, taps):
    """Three frames come out, of kernels of three: `taps` planes of 3 x 3, of the stock convolution's nine."""
    conv = WanCausalConv3d(4, 6, 3, padding=1)
    conv.__class__ = FramewiseConv
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        conv(draw(0, 2, 4, 3, 7, 9), draw(1, 2, 4, cached, 7, 9) if cached else None)
    assert counter.get_total_flops() == 2 * taps * (3 * 3 * 4 * 6) * (2 * 7 * 9)
