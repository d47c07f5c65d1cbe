"""What an edit leaves out, seen in whole edits of the editor: each saving is in use, not only written.

That nothing changes by it is in test_editor.py; what steps and passes share is counted in test_sampler.py.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d
from PIL import Image
from torch import nn

from v4e.editing.editor import Editor
from v4e.editing.settings import EditSettings
from v4e.files.cache import TensorCache
from v4e.models.attention import blocks
from v4e.models.framewise import FramewiseConv

TEXT, NEGATIVE = "make the red circle blue", "blurred"


@pytest.fixture
def editor(random_family):
    return Editor.load(str(random_family / "tiny-wan-i2v"))


def edit(editor: Editor, image: Image.Image) -> bytes:
    settings = EditSettings(height=32, width=32, steps=3, guidance=2.0)
    return editor.edit([image], [TEXT], [5], settings, negatives=[NEGATIVE])[0].image.tobytes()


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8))


def watch(module: nn.Module, of: Callable[..., int]) -> list[int]:
    """Fills with a number a call: what `of` says of its arguments."""
    seen: list[int] = []
    module.register_forward_pre_hook(lambda _module, given: seen.append(of(*given)))
    return seen


def test_texts_are_encoded_without_pads_and_attended_to_with_one(editor, random_family):
    lengths = [len(editor.frozen.tokenizer(text).input_ids) for text in (TEXT, NEGATIVE)]
    encoded = watch(editor.frozen.text_encoder, lambda ids, *_: ids.shape[1])
    keys = watch(blocks(editor.dit)[0].attn2.to_k, lambda states: states.shape[1])
    edit(editor, picture(0))
    assert encoded == lengths
    assert keys == [length + 1 for length in lengths]
    unfolded = Editor.load(str(random_family / "tiny-wan-i2v"), fold_pad=False)
    keys = watch(blocks(unfolded.dit)[0].attn2.to_k, lambda states: states.shape[1])
    edit(unfolded, picture(0))
    assert keys == [512, 512]  # for attention kernels that take no mask


def test_every_causal_convolution_of_an_edit_is_by_frames(editor):
    convs = [m for vae in (editor.frozen.vae, editor.decoder) for m in vae.modules() if isinstance(m, WanCausalConv3d)]
    assert convs and all(type(conv) is FramewiseConv for conv in convs)


def test_encodings_are_kept_by_content_not_by_object(editor):
    image = picture(1)
    first, misses = edit(editor, image), editor.cache.misses
    image.paste(picture(2))  # the same object
    other = edit(editor, image)
    assert editor.cache.misses == misses + 2  # CLIP's states and the condition; the texts are those of before
    fresh = replace(editor, cache=TensorCache(1 << 20))
    assert other == edit(fresh, picture(2)) != first
