"""What is not exact is off, named in every result, and refused where this machine cannot do it."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from v4e import inexact
from v4e.editor import Editor
from v4e.inexact import Inexact


def clip(random_family, options: Inexact, steps: int = 6) -> tuple[np.ndarray, tuple[str, ...]]:
    editor = Editor.load(str(random_family / "tiny-wan-i2v"), options=options)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    forwards = []
    editor.dit.blocks[3].attn1.to_q.register_forward_hook(lambda *_: forwards.append(1))
    edits = [
        editor.edit([image], ["make it blue"], height=32, width=32, seeds=[0], steps=steps, guidance=2.0)[0]
        for _ in range(2)
    ]
    first, second = (np.stack([np.asarray(frame) for frame in edit.clip]).astype(int) for edit in edits)
    assert np.array_equal(first, second)  # nothing is left over from one edit to the next
    return first, (*edits[0].how, f"{len(forwards) // 2} forwards")


def test_nothing_is_on_by_default(random_family):
    exact, how = clip(random_family, Inexact())
    assert how == ("12 forwards",)
    assert Inexact().names == ()
    rounded, how = clip(random_family, Inexact(bf16_decode=True))
    assert how == ("bf16_decode", "12 forwards")
    assert 0 < np.abs(rounded - exact).max() <= 8
    skipped, how = clip(random_family, Inexact(step_cache=0.9))
    assert how[0] == "step_cache=0.9"
    assert int(how[1].split()[0]) < 12
    assert not np.array_equal(skipped, exact)


@pytest.mark.long
def test_compiled_blocks_make_the_same_edit_but_for_rounding(random_family):
    exact, _ = clip(random_family, Inexact(), steps=2)
    compiled, how = clip(random_family, Inexact(compile=True), steps=2)
    assert how[0] == "compile"
    assert np.abs(compiled - exact).max() <= 1


def test_what_means_nothing_is_refused():
    with pytest.raises(ValueError, match=r"step_cache=1.5"):
        Inexact(step_cache=1.5)
    with pytest.raises(ValueError, match="weights='int4'"):
        Inexact(weights="int4")  # pyright: ignore[reportArgumentType]


def test_what_the_machine_cannot_do_is_refused_before_a_model_is_read(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="weights=fp8 needs a CUDA GPU"):
        Editor.load("./there is no such folder", options=Inexact(weights="fp8"))
    monkeypatch.setattr(sys, "path", [])  # whether it is installed here or not
    monkeypatch.delitem(sys.modules, "torchao", raising=False)
    with pytest.raises(ValueError, match=r"torchao: pip install"):
        inexact.check(Inexact(weights="int8"), torch.device("cuda"))
