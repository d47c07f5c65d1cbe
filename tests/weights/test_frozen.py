"""The precision of the frozen parts of a pipeline."""

import pytest
import torch

from v4e.weights.frozen import load_frozen


@pytest.mark.slow
def test_what_looks_at_pixels_is_float32_in_every_precision(random_family):
    frozen = load_frozen(str(random_family / "tiny-wan-i2v"), torch.bfloat16)
    kinds = {name: {p.dtype for p in getattr(frozen, name).parameters()} for name in ("vae", "image_encoder")}
    assert kinds == {"vae": {torch.float32}, "image_encoder": {torch.float32}}
    assert torch.bfloat16 in {p.dtype for p in frozen.text_encoder.parameters()}
