"""Wan's original layout: every name of 14B as diffusers converts it, and weights that come over unchanged."""

import json

import pytest
import torch
from accelerate import init_empty_weights
from diffusers import WanTransformer3DModel
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers
from safetensors.torch import save_file

from tests.support.original import ORIGINAL_14B
from v4e.models import sizes
from v4e.models.dtype import dtype_of
from v4e.weights.convert import convert, original_name, transformer_config
from v4e.weights.hub import check_folder
from v4e.weights.shard import weight_files

NOT_IN_DIFFUSERS = "condition_embedder.image_embedder.pos_embed"  # its single-file loader does not know FLF2V


@pytest.mark.parametrize(("kind", "transformer"), [("i2v", sizes.WAN14B_I2V), ("flf2v", sizes.WAN14B_FLF2V)])
def test_every_name_of_14b_is_converted_as_diffusers_does(kind, transformer):
    settings = transformer_config({**ORIGINAL_14B, "model_type": kind})
    with init_empty_weights():
        ours = WanTransformer3DModel.from_config(settings).state_dict()
        hub = WanTransformer3DModel(**transformer).state_dict()
    assert {name: p.shape for name, p in ours.items()} == {name: p.shape for name, p in hub.items()}
    theirs = {original_name(name): name for name in hub}
    assert len(theirs) == len(hub)
    for converted, name in zip(convert_wan_transformer_to_diffusers(dict(theirs)), theirs.values(), strict=True):
        assert converted == name or name == NOT_IN_DIFFUSERS


@pytest.fixture
def original(random_family, tmp_path):
    """The tiny FLF2V teacher in the original layout, in two files, beside a pickle that must not be opened."""
    folder = tmp_path / "original"
    folder.mkdir()
    dit = WanTransformer3DModel.from_pretrained(random_family / "tiny-wan-flf2v", subfolder="transformer")
    of = dit.config
    settings = {**ORIGINAL_14B, "model_type": "flf2v", "num_heads": of["num_attention_heads"]}
    settings |= {"dim": of["num_attention_heads"] * of["attention_head_dim"], "in_dim": of["in_channels"]}
    settings |= {"out_dim": of["out_channels"], "num_layers": of["num_layers"], "ffn_dim": of["ffn_dim"]}
    (folder / "config.json").write_text(json.dumps({**settings, "freq_dim": of["freq_dim"]}))
    state = {original_name(name): weight.contiguous() for name, weight in dit.state_dict().items()}
    names = sorted(state)
    for number, part in enumerate((names[::2], names[1::2])):
        save_file({name: state[name] for name in part}, folder / f"diffusion_pytorch_model-0000{number}.safetensors")
    (folder / "models_t5_umt5-xxl-enc-bf16.pth").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    return folder, dit


@pytest.fixture
def like_tiny(monkeypatch):
    """What the original's config.json does not say is Wan2.1-14B's: here it is the tiny family's."""
    from v4e.models import tiny

    monkeypatch.setattr("v4e.weights.convert.WAN14B_I2V", tiny.DIT)
    monkeypatch.setattr("v4e.weights.convert.IMAGES", {"flf2v": 2 * tiny.IMAGE_TOKENS})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_come_over_unchanged(original, like_tiny, random_family, tmp_path, dtype):
    folder, dit = original
    out = tmp_path / "pipeline"
    convert(str(folder), str(random_family / "tiny-wan-flf2v"), str(out), dtype=dtype, shard_bytes=500_000)
    check_folder(str(out))
    assert len(set(weight_files(str(out)).values())) > 1
    found = WanTransformer3DModel.from_pretrained(out, subfolder="transformer", torch_dtype=dtype)
    for name, weight in dit.state_dict().items():
        assert torch.equal(found.state_dict()[name], weight.to(dtype_of(name, dtype))), name
    assert (out / "vae" / "config.json").exists() and (out / "text_encoder").exists()
    assert not list(out.rglob("*.pth"))


def test_what_is_no_such_model_is_refused(original, like_tiny, random_family, tmp_path):
    folder, _ = original
    encoders, out = str(random_family / "tiny-wan-flf2v"), str(tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"original layout: v4e convert"):
        check_folder(str(folder))
    with pytest.raises(FileNotFoundError, match=r"has no model_index\.json: expected a diffusers pipeline"):
        convert(str(folder), str(folder), out, dtype=torch.float32)
    first = min(folder.glob("*.safetensors"))
    save_file({"blocks.0.norm3.weight": torch.zeros(2)}, first)
    with pytest.raises(ValueError, match=r"weights differ, the first is blocks\.0\."):
        convert(str(folder), encoders, out, dtype=torch.float32)
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"model_type": "t2v"}))
    with pytest.raises(ValueError, match=r"model_type t2v: expected WanModel with"):
        convert(str(folder), encoders, out, dtype=torch.float32)
    assert not (tmp_path / "out").exists()


def test_a_hub_id_without_a_network_says_what_to_do():
    with pytest.raises(FileNotFoundError, match=r"could not be fetched.*hf download Wan-AI/Wan2\.1-I2V-14B-480P"):
        weight_files("Wan-AI/Wan2.1-I2V-14B-480P-Diffusers")
