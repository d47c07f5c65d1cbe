"""LoRAs and whole transformers go to and from ComfyUI, kohya and musubi under the names of each, to equal numbers.

The names were read from those programs' own key maps; diffusers' converters of both families are a second witness.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from accelerate import init_empty_weights
from diffusers import WanTransformer3DModel
from safetensors.torch import load_file, save_file
from torch import nn

from v4e.faults import Fault
from v4e.models import sizes
from v4e.models.stock import WanImageToVideoPipeline
from v4e.weights.convert import convert
from v4e.weights.load import load_dit
from v4e.weights.lora_names import METADATA, comfyui_lora, kohya_lora, read_lora
from v4e.weights.names import aliases, original_layer, original_name
from v4e.weights.single import STORED, read_names, read_weight, write_single

ATTENTION = ("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0")
CROSS = ("attn2.to_q", "attn2.to_k", "attn2.to_v", "attn2.to_out.0", "attn2.add_k_proj", "attn2.add_v_proj")
ALL = (*ATTENTION, *CROSS, "ffn.net.0.proj", "ffn.net.2")
RANK, ALPHA = 4, 3


@pytest.fixture(scope="module")
def family(random_family) -> str:
    return str(random_family / "tiny-wan-i2v")


@pytest.fixture(scope="module")
def layers(family) -> dict[str, nn.Linear]:
    dit = load_dit(family, torch.float32)
    return {name: module for name, module in dit.named_modules() if isinstance(module, nn.Linear)}


def adapters(layers: dict[str, nn.Linear], ends: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """Random ones as a checkpoint holds them, on the layers whose names end so."""
    generator, found = torch.Generator().manual_seed(1), {}
    for name, layer in layers.items():
        if name.startswith("blocks.") and name.endswith(ends):
            for part, shape in (("A", (RANK, layer.in_features)), ("B", (layer.out_features, RANK))):
                found[f"{name}.lora_{part}.default.weight"] = torch.randn(shape, generator=generator)
    return found


def expected(made: dict[str, torch.Tensor], alpha: float) -> dict[str, torch.Tensor]:
    """The same in diffusers' names, with alpha / rank in B."""
    scale = alpha / RANK
    return {
        f"transformer.{name.replace('.default.', '.')}": weight * scale if ".lora_B." in name else weight
        for name, weight in made.items()
    }


def diffsynth(made: dict[str, torch.Tensor], alpha: float) -> dict[str, torch.Tensor]:
    return {
        f"{original_layer(name.partition('.lora_')[0])}.lora_{name.partition('.lora_')[2]}": weight
        for name, weight in made.items()
    }


def comfyui_down_up(made: dict[str, torch.Tensor], alpha: float) -> dict[str, torch.Tensor]:
    return {
        key.replace("lora_A", "lora_down").replace("lora_B", "lora_up"): weight
        for key, weight in comfyui_lora(made, alpha).items()
    }


def underscored_diffusers(made: dict[str, torch.Tensor], alpha: float) -> dict[str, torch.Tensor]:
    found = {}
    for name, weight in made.items():
        layer, _, part = name.partition(".lora_")
        end = {"A.default.weight": "lora_down.weight", "B.default.weight": "lora_up.weight"}[part]
        found[f"lora_unet_{layer.replace('.', '_')}.{end}"] = weight
        found[f"lora_unet_{layer.replace('.', '_')}.alpha"] = torch.tensor(float(alpha))
    return found


FORMATS: dict[str, Callable] = {
    "comfyui": comfyui_lora,
    "comfyui down and up": comfyui_down_up,
    "kohya": kohya_lora,
    "kohya on diffusers' layers": underscored_diffusers,
}


@pytest.mark.parametrize("alpha", [RANK, ALPHA, 16])
@pytest.mark.parametrize("ends", [ATTENTION, ("attn2.to_q",), ALL], ids=["attention", "one layer", "all"])
@pytest.mark.parametrize("name", FORMATS)
def test_a_lora_of_any_program_is_read_whatever_layers_it_has(name, ends, alpha, layers, tmp_path):
    made = adapters(layers, ends)
    save_file(FORMATS[name](made, alpha), tmp_path / "a.safetensors")
    state, metadata = read_lora(str(tmp_path / "a.safetensors"), layers, "lora a")
    assert metadata is None and state.keys() == expected(made, alpha).keys()
    for key, weight in expected(made, alpha).items():
        assert torch.equal(state[key], weight), key


def test_names_without_a_prefix_and_with_an_adapters_name_are_read(layers, tmp_path):
    made = adapters(layers, ATTENTION)
    save_file(diffsynth(made, RANK), tmp_path / "a.safetensors")
    state, _ = read_lora(str(tmp_path / "a.safetensors"), layers, "lora a")
    assert all(torch.equal(state[key], weight) for key, weight in expected(made, RANK).items())


@pytest.mark.parametrize("named", [comfyui_lora, kohya_lora])
def test_diffusers_reads_what_we_write_for_others(named, layers, tmp_path):
    """The converters of diffusers want all layers of all blocks. They scale A and B by powers of two."""
    made = adapters(layers, ALL)
    save_file(named(made, ALPHA), tmp_path / "a.safetensors")
    theirs = WanImageToVideoPipeline.lora_state_dict(str(tmp_path), weight_name="a.safetensors", use_safetensors=True)
    ours = expected(made, ALPHA)
    assert theirs.keys() == ours.keys()
    for key in [key for key in ours if ".lora_B." in key]:
        a, b = key.replace("lora_B", "lora_A"), key
        torch.testing.assert_close(theirs[b] @ theirs[a], ours[b] @ ours[a])


def test_no_two_layers_of_14b_have_a_name_in_common():
    with init_empty_weights():
        dit = WanTransformer3DModel(**sizes.WAN14B_FLF2V)
    found: dict[str, str] = {}
    for layer in [name for name, module in dit.named_modules() if isinstance(module, nn.Linear)]:
        for alias in set(aliases(layer)):
            assert found.setdefault(alias, layer) == layer
    assert found["lora_unet_blocks_39_cross_attn_k_img"] == "blocks.39.attn2.add_k_proj"
    assert found["diffusion_model.blocks.0.ffn.2"] == "blocks.0.ffn.net.2"


def test_alpha_in_the_header_that_diffusers_writes_is_handed_on(layers, tmp_path):
    made = adapters(layers, ATTENTION)
    header = {METADATA: json.dumps({"transformer.r": RANK, "transformer.lora_alpha": ALPHA}), "format": "pt"}
    save_file(expected(made, RANK), tmp_path / "a.safetensors", metadata=header)
    state, metadata = read_lora(str(tmp_path / "a.safetensors"), layers, "lora a")
    assert metadata == {"transformer.r": RANK, "transformer.lora_alpha": ALPHA} and len(state) == len(made)


def without(state: dict, part: str) -> dict:
    return {key: weight for key, weight in state.items() if part not in key}


Q = "diffusion_model.blocks.0.self_attn.q"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: without(state, "lora_B"), "has no lora_B.weight"),
        (lambda state: without(state, "lora_A"), "has no lora_A.weight"),
        (lambda state: state | {f"{Q}.dora_scale": torch.ones(160)}, f"{Q}.dora_scale, which is no plain LoRA"),
        (lambda state: {f"{Q}.hada_w1_a": torch.ones(2, 2)}, "hada_w1_a, which is no plain LoRA"),
        (lambda state: state | {"lora_te1_x.lora_down.weight": torch.ones(2, 2)}, "lora_te1_x"),
        (lambda state: state | {f"{Q}.alpha": torch.tensor(math.nan)}, "alpha of nan"),
        (lambda state: state | {f"{Q}.alpha": torch.ones(3)}, "alpha of"),
        (lambda state: state | {f"{Q}.lora_A.weight": torch.ones(RANK + 1, 160)}, "(5, 160)"),
        (lambda state: state | {f"{Q}.lora_A.weight": torch.ones(RANK, 160, 1, 1)}, "(4, 160, 1, 1)"),
        (lambda state: state | {f"{Q}.lora_A.weight": torch.ones(RANK, 160, dtype=torch.int32)}, "torch.int32"),
        (lambda state: {}, "holds no weights"),
    ],
)
def test_what_is_no_lora_of_this_model_is_told_in_one_line(change, words, layers, tmp_path):
    file = str(tmp_path / "a.safetensors")
    save_file(change(comfyui_lora(adapters(layers, ATTENTION), ALPHA)), file)
    with pytest.raises(Fault) as error:
        read_lora(file, layers, "lora a")
    assert error.value.code == "T19" and words in str(error.value) and file in error.value.line


def test_a_changed_norm_is_left_out_and_a_bias_is_not(layers, tmp_path):
    made = comfyui_lora(adapters(layers, ("attn1.to_q",)), RANK)
    made |= {"diffusion_model.blocks.0.norm3.diff": torch.ones(160), f"{Q}.diff_b": torch.ones(160)}
    save_file(made, tmp_path / "a.safetensors")
    state, _ = read_lora(str(tmp_path / "a.safetensors"), layers, "lora a")
    assert "transformer.blocks.0.attn1.to_q.lora_B.bias" in state and not any("norm" in key for key in state)


# Whole transformers


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_a_single_file_has_the_original_names_and_comes_back_to_the_bit(prefix, family, tmp_path):
    file = tmp_path / "single.safetensors"
    write_single(family, file, torch.float32)
    state = load_file(file)
    ours = load_dit(family, torch.float32).state_dict()
    assert state.keys() == {original_name(name) for name in ours}
    assert {"head.modulation", "patch_embedding.weight", "img_emb.proj.0.bias"} <= state.keys()  # how ComfyUI knows it
    assert all(torch.equal(state[original_name(name)], weight) for name, weight in ours.items())
    save_file({f"{prefix}{name}": weight for name, weight in state.items()}, file)
    convert(str(file), family, str(tmp_path / "back"), dtype=torch.float32)
    back = load_dit(str(tmp_path / "back"), torch.float32).state_dict()
    assert all(torch.equal(back[name], weight) for name, weight in ours.items())


@pytest.mark.slow
def test_fp8_holds_the_blocks_matrices_in_a_byte_and_nothing_becomes_nan(family, tmp_path):
    file = tmp_path / "single.safetensors"
    write_single(family, file, STORED["fp8"])
    ours = load_dit(family, torch.float32).state_dict()
    for name, stored in read_names([file]).items():
        weight = read_weight(stored)
        matrix = name.startswith("blocks.") and name.endswith(".weight") and weight.ndim == 2
        assert (weight.dtype is torch.float8_e4m3fn) == matrix, name
        theirs = next(value for key, value in ours.items() if original_name(key) == name)
        torch.testing.assert_close(weight.float(), theirs.clamp(-448, 448), rtol=0.07, atol=0.002)
    convert(str(file), family, str(tmp_path / "back"), dtype=torch.bfloat16)


def test_a_file_of_another_family_is_refused_with_its_first_weight(family, tmp_path):
    file = tmp_path / "single.safetensors"
    save_file({"head.head.weight": torch.ones(2, 2)}, file)
    with pytest.raises(ValueError, match=r"single\.safetensors is not of the family of .*weights differ, the first is"):
        convert(str(file), family, str(tmp_path / "out"), dtype=torch.float32)
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors is not there"):
        convert(str(tmp_path / "none.safetensors"), family, str(tmp_path / "out"), dtype=torch.float32)
    assert not Path(tmp_path / "out").exists()
