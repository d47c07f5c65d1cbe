"""Conditions equal the stock pipeline's; the tail target is what Wan's causal VAE makes it."""

import pytest
import torch
from diffusers import WanImageToVideoPipeline

from v4e.method.conditioning import condition, flf_video, i2v_video, tail_of_x0, tail_video
from v4e.models.encoders import encode_clip


@pytest.fixture(scope="module")
def pipe(random_family):
    pipe = WanImageToVideoPipeline.from_pretrained(random_family / "tiny-wan-i2v")
    pipe.vae.register_to_config(latents_mean=[0.1 * i for i in range(16)], latents_std=[1 + 0.1 * i for i in range(16)])
    return pipe


@pytest.mark.parametrize("frames", [5, 9])
@pytest.mark.parametrize("last", [False, True])
@torch.no_grad()
def test_condition_is_the_stock_pipelines(pipe, frames, last):
    source, edit = torch.rand(2, 1, 3, 32, 32) * 2 - 1
    _, expected = pipe.prepare_latents(
        source, 1, 16, 32, 32, frames, torch.float32, torch.device("cpu"), last_image=edit if last else None
    )
    video = flf_video(source, edit, frames) if last else i2v_video(source, frames)
    ours = condition(encode_clip(pipe.vae, video), last=last)
    assert torch.equal(ours[:, :4], expected[:, :4])  # the masks, to the bit
    torch.testing.assert_close(ours, expected, atol=1e-6, rtol=1e-6)


@torch.no_grad()
def test_four_tiled_frames_alone_encode_to_an_image_latent(pipe):
    """Why Eq. 4's tile needs a frame before it: frames 1 to 3 of a 4-frame clip change nothing."""
    clip = torch.rand(1, 3, 4, 32, 32)
    other = clip.clone()
    other[:, :, 1:] = torch.rand(1, 3, 3, 32, 32)
    assert torch.equal(encode_clip(pipe.vae, clip), encode_clip(pipe.vae, other))
    longer = torch.cat([clip, clip[:, :, -1:]], 2)
    changed = torch.cat([other, other[:, :, -1:]], 2)
    assert not torch.allclose(encode_clip(pipe.vae, longer)[:, :, 1], encode_clip(pipe.vae, changed)[:, :, 1])


def test_tail_videos():
    source, edit = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
    assert tail_video(source, edit, 9, "source")[0, 0, :, 0, 0].tolist() == [0] + [1] * 8
    assert tail_video(source, edit, 5, "fade")[0, 0, :, 0, 0].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert tail_video(source, edit, 5, "edit")[0, 0, :, 0, 0].tolist() == [1] * 5
    assert flf_video(edit, edit, 5)[0, 0, :, 0, 0].tolist() == [1, 0, 0, 0, 1]


def test_pixel_tail_is_the_stock_vaes_of_the_tiled_last_frame_and_lets_gradients_through(pipe):
    vae = pipe.vae.requires_grad_(False)
    x0_hat = torch.randn(1, 16, 2, 8, 8, requires_grad=True)
    assert torch.equal(tail_of_x0(x0_hat), x0_hat[:, :, -1])
    for context in ("source", "edit", "fade"):
        tail = tail_of_x0(x0_hat, vae=vae, space="pixel", context=context)
        with torch.no_grad():  # the letter of Eq. 4, by the stock VAE alone
            mean, std = (torch.tensor(vae.config[k]).view(1, -1, 1, 1, 1) for k in ("latents_mean", "latents_std"))
            clip = vae.decode(x0_hat * std + mean).sample.clamp(-1, 1)
            last = clip[:, :, -1:]
            first = {"source": clip[:, :, :1], "edit": last}.get(context)
            if first is not None:
                stock = vae.encode(torch.cat([first, last, last, last, last], 2)).latent_dist.mode()
                torch.testing.assert_close(tail, ((stock - mean) / std)[:, :, -1])
        (grad,) = torch.autograd.grad(tail.sum(), x0_hat)
        assert grad[:, :, 1].abs().sum() > 0
    with pytest.raises(ValueError, match="needs the VAE"):
        tail_of_x0(x0_hat, space="pixel")
