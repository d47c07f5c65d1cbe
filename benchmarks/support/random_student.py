"""Students with random weights in Wan's proportions, and batches for them."""

from pathlib import Path

import torch
from diffusers import WanTransformer3DModel

from v4e.config import Config
from v4e.models import sizes
from v4e.training.student import Batch
from v4e.types import Sample, TeacherTarget

TEXT = 20  # tokens of an instruction, one pad included


def wan(heads: int, blocks: int) -> dict:
    """Returns a transformer's config.json in Wan2.1-14B's proportions."""
    width = 128 * heads
    small = {
        "num_attention_heads": heads,
        "num_layers": blocks,
        "ffn_dim": 27 * width // 10,
        "added_kv_proj_dim": width,
    }
    return {**sizes.WAN14B_I2V, **small}


def write_checkpoint(folder: Path, transformer: dict) -> None:
    """Writes a pipeline folder with only a transformer of random bfloat16 weights."""
    from accelerate import init_empty_weights  # here: the checks of a GPU do without it

    with init_empty_weights():
        dit = WanTransformer3DModel(**transformer)
    state = {name: torch.randn(p.shape, dtype=torch.bfloat16) * 0.02 for name, p in dit.named_parameters()}
    dit.load_state_dict(state, assign=True)
    dit.save_pretrained(folder / "transformer", max_shard_size="500MB")
    (folder / "model_index.json").write_text("{}")


def batch_of(config: Config, transformer: dict, side: int, image_tokens: int) -> Batch:
    """Returns random features of two latent frames of `side` x `side`, and a random target."""
    of, count = sizes.dit(transformer), config.optim.batch
    sample = Sample(
        id="s",
        task="color",
        z_i2v_CFHW=torch.randn(16, 2, side, side),
        z_flf_CFHW=torch.randn(16, 2, side, side),
        z_tail_CHW=torch.randn(16, side, side),
        instruction_TD=torch.randn(TEXT - 1, of.text_width),
        evolution_TD=torch.randn(TEXT - 1, of.text_width),
        source_ID=torch.randn(image_tokens, of.image_width),
        edit_ID=torch.randn(image_tokens, of.image_width),
    )
    taps_KBND = torch.randn(len(config.kd.taps), count, side * side // 2, of.width).bfloat16()
    return Batch(
        samples=(sample,) * count,
        seeds=tuple(range(count)),
        z_clip_BCFHW=torch.randn(count, 16, 2, side, side),
        target=TeacherTarget(taps_KBND=taps_KBND),
    )
