"""The encoders read what the stock pipeline reads, and no batch meets the VAE whole."""

import pytest
import torch
from diffusers.pipelines.wan.pipeline_wan_i2v import prompt_clean

from v4e import wan
from v4e.models import tiny
from v4e.models.encoders import clean, decode_clip, encode_clip
from v4e.models.recompute import recompute_vae


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  make the car   red\n\tnow ",
        "Tom &amp;amp; Jerry &lt;b&gt; &#39;quoted&#39; &nbsp; end",
        "schÃ¶n, donâ€™t, ï¬\x81re",
        "non\u00a0breaking\u2003em\u200bzero\x1fcontrol\x85next\ufeffmark",
        "\x1b[31mred\x1b[0m \ud83d\ude00 \uff46\uff55\uff4c\uff4c \u2460",
        "&amp;lt;script&amp;gt;",
    ],
)
def test_a_text_is_cleaned_as_the_stock_pipeline_cleans_it(text):
    assert clean(text) == prompt_clean(text)


@pytest.mark.parametrize(("limit", "calls"), [(1, [1, 1, 1, 1, 1]), (2, [2, 2, 1]), (5, [5])])
@torch.no_grad()
def test_the_vae_sees_no_more_pixels_at_a_time_than_are_allowed(monkeypatch, limit, calls):
    vae, frames, side = tiny.build_vae().eval(), 5, 16
    clips = torch.rand(5, 3, frames, side, side) * 2 - 1
    latents = encode_clip(vae, clips)
    expected = decode_clip(vae, latents)
    seen: dict[str, list[int]] = {"encode": [], "decode": []}
    for way in seen:
        run = getattr(vae, way)
        monkeypatch.setattr(vae, way, lambda x, run=run, way=way, **more: seen[way].append(len(x)) or run(x, **more))
    monkeypatch.setattr(wan, "VAE_PIXELS", limit * frames * side * side + 1)
    torch.testing.assert_close(encode_clip(vae, clips), latents)
    torch.testing.assert_close(decode_clip(vae, latents), expected)
    assert seen == {"encode": calls, "decode": calls}


@pytest.mark.parametrize("frames", [5, 9, 13])
def test_a_vae_that_recomputes_gives_the_same_bits_and_keeps_less(frames):
    """Memory that blocks hand on from chunk to chunk is that of the first run, also when they run again."""
    torch.manual_seed(0)
    vae = tiny.build_vae().requires_grad_(False)
    clip = (torch.rand(2, 3, frames, 16, 16) * 2 - 1).requires_grad_(True)

    def there_and_back() -> tuple[torch.Tensor, torch.Tensor, int]:
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
            out = decode_clip(vae, encode_clip(vae, clip))
        return out, torch.autograd.grad(out.square().sum(), clip)[0], sum(kept)

    out, gradient, kept = there_and_back()
    recompute_vae(vae)
    again, gradient_again, kept_again = there_and_back()
    assert torch.equal(out, again) and torch.equal(gradient, gradient_again)
    assert gradient.abs().sum() > 0 and kept_again < 0.5 * kept
