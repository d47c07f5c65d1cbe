"""What is not exact is off, named in every result, and refused where this machine cannot do it."""

import sys
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.support.served import SMALL, http, png, served
from serve.engine import EditEngine
from serve.settings import Settings
from tests.support.gguf_files import in_blocks, write_gguf
from v4e.editing import inexact
from v4e.editing.editor import Editor
from v4e.editing.inexact import Inexact
from v4e.editing.settings import EditSettings
from v4e.models.attention import blocks
from v4e.weights.load import load_dit
from v4e.weights.student import BASE


def clip(random_family, options: Inexact, steps: int = 6) -> tuple[np.ndarray, tuple[str, ...]]:
    editor = Editor.load(str(random_family / "tiny-wan-i2v"), options=options)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    forwards = []
    blocks(editor.dit)[3].attn1.to_q.register_forward_hook(lambda *_: forwards.append(1))
    settings = EditSettings(height=32, width=32, steps=steps, guidance=2.0)
    edits = [editor.edit([image], ["make it blue"], [0], settings)[0] for _ in range(2)]
    first, second = (np.stack([np.asarray(frame) for frame in edit.clip]).astype(int) for edit in edits)
    assert np.array_equal(first, second)  # nothing is left over from one edit to the next
    return first, (*edits[0].how, f"{len(forwards) // 2} forwards")


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_response_names_what_is_not_exact_and_a_server_by_default_has_nothing_to_name(random_family, tmp_path):
    def item(**options) -> dict:
        model = str(random_family / "tiny-wan-i2v")
        settings = Settings(model=model, state=str(tmp_path), **SMALL, **options)
        with served(settings, EditEngine(settings)) as url:
            form = {"prompt": "x", "num_inference_steps": "2"}
            return http.post(f"{url}/v1/images/edits", files={"image": png()}, data=form).json()["data"][0]

    assert "how" not in item()
    assert item(step_cache=0.1, bf16_decode=True)["how"] == ["step_cache=0.1", "bf16_decode"]


@pytest.fixture
def packed(random_family, tmp_path):
    """A function that writes the weights of a DiT's blocks as GGUF, without the tensor of a name."""
    pytest.importorskip("gguf")
    weights = load_dit(str(random_family / "tiny-wan-i2v"), torch.float32).state_dict()

    def write(kind: str, without: str = "", packs=in_blocks) -> str:
        kept = {name: weight for name, weight in weights.items() if name != without}
        return write_gguf(tmp_path / f"{kind}.gguf", kept, kind, packs)

    return write


@pytest.mark.slow
def test_weights_of_a_gguf_file_make_nearly_the_same_edit(random_family, packed):
    exact, _ = clip(random_family, Inexact(), steps=2)
    far = []
    for kind in ("Q8_0", "Q4_0"):
        made, how = clip(random_family, Inexact(gguf=packed(kind)), steps=2)
        assert how[0] == f"gguf={kind}.gguf"
        far.append(np.abs(made - exact).mean())
    assert 0 < far[0] < far[1] / 4 < 4
    made, _ = clip(random_family, Inexact(gguf=packed("BF16", packs=lambda *_: True)), steps=2)
    assert 0 < np.abs(made - exact).mean() < far[1] / 2


@pytest.mark.slow
def test_a_file_that_is_no_gguf_of_this_model_is_refused_in_one_line(random_family, packed, tmp_path):
    whole, model, bad = packed("Q8_0"), str(random_family / "tiny-wan-i2v"), tmp_path / "bad.gguf"
    blob = Path(whole).read_bytes()
    lacking = Path(packed("Q4_0", without="proj_out.bias")).read_bytes()
    for what in (b"", b"{}", b"GGUF", blob[:300], blob[: len(blob) // 2], lacking):
        bad.write_bytes(what)
        with pytest.raises(ValueError, match=r"^gguf=.*bad.gguf: [^\n]*$"):
            Editor.load(model, options=Inexact(gguf=str(bad)))
    with pytest.raises(FileNotFoundError, match="gguf="):
        Editor.load(model, options=Inexact(gguf=str(tmp_path / "none.gguf")))
    with pytest.raises(ValueError, match="model="):
        Editor.load(options=Inexact(gguf=whole))
    with pytest.raises(ValueError, match=r"gguf=.*weights=int8"):
        Inexact(gguf=whole, weights="int8")


def test_every_option_has_a_name_of_its_own():
    on = Inexact(step_cache=0.05, weights="int8", compile=True, bf16_decode=True, tiles=True)
    names = [name.split("=")[0] for option in (on, Inexact(gguf="a/b.gguf")) for name in option.names]
    assert sorted(names) == sorted(asdict(on))


def test_only_what_decodes_is_in_bfloat16(random_family):
    editor = Editor.load(str(random_family / "tiny-wan-i2v"), options=Inexact(bf16_decode=True))
    assert (editor.frozen.vae.dtype, editor.decoder.dtype) == (torch.float32, torch.bfloat16)


@pytest.mark.slow
@pytest.mark.parametrize("on", [False, True])
def test_blocks_are_compiled_where_asked_for(random_family, on):
    dit = load_dit(str(random_family / "tiny-wan-i2v"), torch.float32)
    inexact.apply(dit, Inexact(compile=on))
    assert [block._compiled_call_impl is not None for block in dit.blocks] == [on] * len(dit.blocks)


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


def test_weights_are_torchaos_kind_of_that_name_in_the_blocks_alone(random_family, monkeypatch):
    """With its three names only, as documented for 0.18: fp8 cannot run on this CPU, nor int8 without torchao."""
    asked, torchao = [], ModuleType("torchao.quantization")
    vars(torchao)["quantize_"] = lambda module, config: asked.append((module, type(config).__name__))
    for name in ("Int8DynamicActivationInt8WeightConfig", "Float8DynamicActivationFloat8WeightConfig"):
        vars(torchao)[name] = type(name, (), {})
    monkeypatch.setitem(sys.modules, "torchao", ModuleType("torchao"))
    monkeypatch.setitem(sys.modules, "torchao.quantization", torchao)
    dit = load_dit(str(random_family / "tiny-wan-i2v"), torch.float32)
    for weights in ("", "int8", "fp8"):
        inexact.apply(dit, Inexact(weights=weights))
    assert asked == [
        (dit.blocks, "Int8DynamicActivationInt8WeightConfig"),
        (dit.blocks, "Float8DynamicActivationFloat8WeightConfig"),
    ]


def test_int8_weights_by_torchao_change_an_edit_a_little(monkeypatch):
    """Runs where ``pip install -e '.[quantize]'`` was. 46 dB were seen; a bit less a number would cost 6 of them."""
    pytest.importorskip("torchao", reason="needs torchao: pip install -e '.[quantize]'")
    monkeypatch.setattr(inexact, "check", lambda *_: None)  # on a CPU it is right, but slower than what it replaces
    clips = []
    for weights in ("", "int8"):
        editor = Editor.load(BASE, options=Inexact(weights=weights))
        image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
        [edit] = editor.edit([image], ["make it blue"], [0], EditSettings(height=64, width=64, steps=6, guidance=2.0))
        assert edit.how == ((f"weights={weights}",) if weights else ())
        clips.append(np.stack([np.asarray(frame) for frame in edit.clip]).astype(float))
    error = np.mean((clips[0] - clips[1]) ** 2)
    assert error > 0 and 10 * np.log10(255**2 / error) > 40
