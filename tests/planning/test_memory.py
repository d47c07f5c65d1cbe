"""Planned memory against the real model: parameters to the number, activations against what autograd keeps."""

from dataclasses import replace

import pytest
import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from transformers import CLIPVisionConfig, CLIPVisionModel, UMT5Config, UMT5EncoderModel

from benchmarks.support.ledger import UMT5_XXL, VIT_H
from tests.support.live import Live
from tests.support.synthetic import config
from v4e.config import Lora
from v4e.models import sizes, tiny
from v4e.models.attention import fold_pads
from v4e.models.dit import DitInputs, predict
from v4e.models.recompute import recompute_blocks
from v4e.planning import frozen_memory
from v4e.planning.memory import activation_bytes, adapter_parameters, block_parameters, parameter_count, student_memory
from v4e.planning.vae_memory import VAE_BYTES
from v4e.planning.work import Reads
from v4e.weights.load import DTYPES
from v4e.weights.lora import add_adapters

DIT = {
    **tiny.DIT,
    "num_attention_heads": 4,
    "attention_head_dim": 64,
    "ffn_dim": 768,
    "added_kv_proj_dim": 256,
    "num_layers": 4,
}
BATCH, SIDE, TEXT = 2, 16, 20


@pytest.mark.slow
@pytest.mark.parametrize(
    ("transformer", "image_tokens"),
    [
        (sizes.WAN14B_I2V, 257),
        (sizes.WAN14B_FLF2V, 257),
        (tiny.DIT, tiny.IMAGE_TOKENS),
        ({**tiny.DIT, "pos_embed_seq_len": 2 * tiny.IMAGE_TOKENS}, tiny.IMAGE_TOKENS),
    ],
)
def test_parameters_are_counted_to_the_number(transformer, image_tokens):
    with init_empty_weights():
        dit = WanTransformer3DModel(**transformer)
    of = sizes.dit(transformer)
    assert parameter_count(of, image_tokens) == sum(p.numel() for p in dit.parameters())
    assert block_parameters(of) == sum(p.numel() for p in dit.blocks[0].parameters())


def test_frozen_parameters_are_counted_to_the_number():
    with torch.device("meta"):  # where tied weights stay tied
        vae = AutoencoderKLWan()
        text = UMT5EncoderModel(UMT5Config(**UMT5_XXL, feed_forward_proj="gated-gelu"))
        image = CLIPVisionModel(CLIPVisionConfig(**VIT_H, image_size=224, patch_size=14))
    counted = [sum(p.numel() for p in model.parameters()) for model in (text, image, vae)]
    assert counted == [frozen_memory.TEXT, frozen_memory.IMAGE, VAE_BYTES // 4]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
def test_activations_are_what_a_step_keeps(recompute, dtype):
    """Within 8 %: all that is counted in whole layers is there, what a backward needs for a moment roughly."""
    dit = WanTransformer3DModel(**DIT).to(DTYPES[dtype]).train()
    fold_pads(dit)
    recompute_blocks(dit, recompute)
    for parameter in dit.parameters():
        parameter.grad = torch.zeros_like(parameter)
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).to(DTYPES[dtype])

    x, y = normal(BATCH, tiny.Z, 2, SIDE, SIDE), normal(BATCH, tiny.Z + 4, 2, SIDE, SIDE)
    text, image = [normal(TEXT - 1, tiny.TEXT_WIDTH)] * BATCH, normal(BATCH, tiny.IMAGE_TOKENS, tiny.IMAGE_WIDTH)
    gradients = [parameter.grad for parameter in dit.parameters()]
    with Live([x, y, image, *text, *dit.parameters(), *gradients]) as live:
        predict(dit, x, torch.rand(BATCH), DitInputs(y_BCFHW=y, text=text, image_BID=image))[
            0
        ].float().square().mean().backward()
    run = config(
        kd={"weight": 0.0}, optim={"batch": BATCH, "accumulate": 2}, train={"dtype": dtype, "recompute": recompute}
    )
    reads = Reads(clip=2 * (SIDE // 2) ** 2, text=TEXT, image=tiny.IMAGE_TOKENS)
    assert activation_bytes(run, sizes.dit(DIT), reads, DIT["num_layers"]) == pytest.approx(live.peak, rel=0.08)


@pytest.mark.parametrize("side", [4, 24])
def test_the_peak_is_where_a_backward_begins_or_where_it_ends(side):
    """Live bytes of a step's forward and backward: of a large clip the activations, of a small one the gradients."""
    transformer = DIT | {"num_layers": 8}
    dit = WanTransformer3DModel(**transformer).train()
    fold_pads(dit)
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(1, channels, 2, side, side, generator=generator) for channels in (tiny.Z, tiny.Z + 4))
    text, image = [torch.randn(TEXT - 1, tiny.TEXT_WIDTH)], torch.randn(1, tiny.IMAGE_TOKENS, tiny.IMAGE_WIDTH)
    with Live([x, y, image, *text, *dit.parameters()]) as live:
        predict(dit, x, torch.rand(1), DitInputs(y_BCFHW=y, text=text, image_BID=image))[0].square().mean().backward()
    run = config(kd={"weight": 0.0}, optim={"batch": 1, "accumulate": 1})
    reads = Reads(clip=2 * (side // 2) ** 2, text=TEXT, image=tiny.IMAGE_TOKENS)
    of = sizes.dit(transformer)
    planned = student_memory(run, of, reads, workers=1, image_tokens=tiny.IMAGE_TOKENS)
    trained = 4 * sum(p.numel() for p in dit.parameters())
    assert planned.gradients == (trained if side == 4 else 0)
    assert planned.gradients + planned.activations == pytest.approx(live.peak, rel=0.08)


def test_gradients_of_earlier_forwards_are_there_beside_the_activations():
    of, reads = sizes.dit(tiny.DIT), Reads(clip=8192, text=20, image=17)
    once, twice = (
        student_memory(config(optim={"accumulate": n}), of, reads, workers=1, image_tokens=17) for n in (1, 2)
    )
    assert once.gradients == 0 < twice.gradients == once.weights
    assert once.activations == twice.activations


def test_what_a_rank_holds_follows_from_how_the_student_is_sharded():
    of, reads = sizes.dit(tiny.DIT), Reads(clip=32, text=20, image=17)

    def of_a_rank(workers: int, accumulate: int = 4, **train: object):
        run = config(train={"workers": workers, **train}, optim={"accumulate": accumulate})
        return student_memory(run, of, reads, workers=workers, image_tokens=17)

    alone, two, pairs = of_a_rank(1), of_a_rank(2), of_a_rank(4, shard=2)
    assert alone.weights == 4 * parameter_count(of, 17)
    assert (two.weights, two.moments, pairs.weights) == (alone.weights // 2, alone.weights, two.weights)
    assert alone.whole == 0 < of_a_rank(1, dtype="bfloat16").whole
    assert two.whole - of_a_rank(2, accumulate=2).whole == alone.weights  # gradients that wait for the last forward
    each, at_once = of_a_rank(2, reduce="each"), of_a_rank(2, accumulate=2)
    assert replace(each, gradients=0) == at_once and each.gradients == each.weights
    assert two.in_host_memory("none") == 0 < two.in_host_memory("optimizer") == two.moments
    assert two.in_host_memory("all") == two.total - two.whole - two.activations


@pytest.mark.parametrize("targets", [Lora().targets, ("attn2.to_q", "ffn.net.0.proj", "net.2")])
def test_adapters_are_counted_as_they_are_made(targets):
    lora, of = Lora(rank=3, targets=targets), sizes.dit(tiny.DIT)
    with init_empty_weights():
        made = add_adapters(tiny.build_dit(), lora)
    assert adapter_parameters(of, lora) == sum(parameter.numel() for parameter in made.values())


def test_a_lora_run_holds_a_frozen_base_and_trains_the_adapters():
    of, reads, lora = sizes.dit(tiny.DIT), Reads(clip=32, text=20, image=17), {"rank": 3}
    train = {"workers": 2, "dtype": "bfloat16"}

    def of_a_rank(**sections: dict[str, object]):
        run = config(train=train, optim={"accumulate": 4}, **sections)
        return student_memory(run, of, reads, workers=2, image_tokens=17)

    full, adapters = of_a_rank(), of_a_rank(lora=lora)
    trained = adapter_parameters(of, Lora(rank=3))
    assert adapters.moments == 2 * adapters.gradients == 2 * adapters.ema == 4 * trained
    assert adapters.weights == full.weights // 2 + 2 * trained  # half the bytes of the base, and masters of adapters
    assert adapters.whole < full.whole
