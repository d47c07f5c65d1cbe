"""GGUF files: whatever is packed in one can compute, and one that is damaged or of another model is refused."""

import shutil
import struct
from pathlib import Path

import pytest
import torch

from tests.support.gguf_files import write_gguf
from v4e.weights import gguf_file
from v4e.weights.digest import weights_sha256
from v4e.weights.gguf_file import check_gguf, load_gguf, stored_names
from v4e.weights.load import load_dit
from v4e.weights.names import original_name

pytest.importorskip("gguf")
ARRAY, UINT8 = 9, 0  # types of metadata


@pytest.fixture(scope="module")
def folder(random_family) -> str:
    return str(random_family / "tiny-wan-i2v")


@pytest.fixture(scope="module")
def weights(folder) -> dict[str, torch.Tensor]:
    return load_dit(folder, torch.float32).state_dict()


def header(tensors: int, fields: int, rest: bytes = b"") -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, fields) + rest


def array(length: int) -> bytes:
    return struct.pack("<Q1sIIQ", 1, b"a", ARRAY, UINT8, length)


def test_only_weights_of_linear_layers_stay_packed_and_all_have_their_values(folder, weights, tmp_path):
    from diffusers.quantizers.gguf.utils import GGUFParameter, dequantize_gguf_tensor

    dit = load_gguf(write_gguf(tmp_path / "all.gguf", weights, "BF16", lambda *_: True), folder, torch.float32)
    got = dict(dit.named_parameters())
    for name, weight in weights.items():
        value = dequantize_gguf_tensor(got[name]).float()
        assert torch.equal(value, weight.bfloat16().float()), name
    packed = {name for name, weight in got.items() if isinstance(weight, GGUFParameter)}
    assert "blocks.0.attn1.to_q.weight" in packed
    assert not packed & {"patch_embedding.weight", "blocks.0.attn1.norm_q.weight", "blocks.0.attn1.to_q.bias"}
    assert all(name.endswith(".weight") and weights[name].ndim == 2 for name in packed)


@pytest.mark.parametrize("family", ["tiny-wan-i2v", "tiny-wan-flf2v"])
@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_names_of_the_original_layout_are_read_too(random_family, tmp_path, family, prefix):
    folder = str(random_family / family)
    weights = load_dit(folder, torch.float32).state_dict()
    file = write_gguf(tmp_path / "a.gguf", {prefix + original_name(name): weights[name] for name in weights}, "F32")
    got = load_gguf(file, folder, torch.float32).state_dict()
    assert all(torch.equal(got[name], weights[name]) for name in weights) and len(got) == len(weights)


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        (header(0, 0), "it lacks "),
        (header(0, 1, array(2**20)), "it ends too early"),
        (header(2**62, 0), "it ends too early"),
        (header(0, 2**62), "it ends too early"),
        (header(0, 1, struct.pack("<Q", 2**63)), "it ends too early"),
        (header(0, 1, struct.pack("<Q1sI", 1, b"a", 77)), "77"),
        (header(1, 0, struct.pack("<Q5sIQIQ", 5, b"a\nb\nc", 1, 1, 0, 0) + bytes(64)), r"has no 'a\\nb\\nc'"),
        (b"GGUF", "it does not hold"),
    ],
)
def test_a_file_that_is_damaged_or_hostile_ends_in_one_line(folder, tmp_path, blob, words):
    (file := tmp_path / "bad.gguf").write_bytes(blob)
    with pytest.raises(ValueError, match=rf"^gguf=.*bad\.gguf: .*{words}") as caught:
        load_gguf(str(file), folder, torch.float32)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_file_of_another_model_is_refused_by_its_first_weight(random_family, folder, weights, tmp_path):
    flf2v = load_dit(str(random_family / "tiny-wan-flf2v"), torch.float32).state_dict()
    last = max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
    more = {name.replace(f"blocks.{last}.", f"blocks.{last + 1}."): weight for name, weight in weights.items()}
    half = weights | {"proj_out.weight": weights["proj_out.weight"][:, ::2].contiguous()}  # as long, in bytes
    without = {name: weight for name, weight in weights.items() if name != "proj_out.bias"}
    for number, (what, name) in enumerate(
        (
            (flf2v, "condition_embedder.image_embedder.pos_embed"),
            ({original_name(name): weight for name, weight in flf2v.items()}, "img_emb.emb_pos"),
            (weights | more, f"blocks.{last + 1}."),
            (more, f"blocks.{last + 1}."),
            (half, "proj_out.weight"),
            (without, "lacks proj_out.bias"),
        )
    ):
        file = write_gguf(tmp_path / f"{number}.gguf", what, "BF16", lambda *_: True)
        with pytest.raises(ValueError, match=rf"^gguf=[^\n]*{name}[^\n]*$"):
            stored_names(file, folder)


def test_a_file_of_another_name_is_refused_before_it_is_read(folder, weights, tmp_path):
    file = write_gguf(tmp_path / "dit.gguf", weights)
    check_gguf(file, folder, loras=False)
    for name in ("dit.ckpt", "dit.GGUF", "dit"):
        shutil.copy(file, tmp_path / name)
        with pytest.raises(ValueError, match=r"does not end in \.gguf"):
            check_gguf(str(tmp_path / name), folder, loras=False)
    with pytest.raises(ValueError, match="LoRA"):
        check_gguf(file, folder, loras=True)
    with pytest.raises(ValueError, match="model="):
        check_gguf(file, "", loras=False)


def test_the_header_of_a_whole_model_is_far_from_the_bound(weights, folder, tmp_path, monkeypatch):
    """7 parts of each weight, and few of metadata: 1,300 weights of Wan 14B are 9,100."""
    file = write_gguf(tmp_path / "dit.gguf", weights)
    assert gguf_file.MOST_PARTS > 3 * 7 * 1300
    monkeypatch.setattr(gguf_file, "MOST_PARTS", 7 * len(weights) + 50)
    assert stored_names(file, folder) == {name: name for name in weights}
    monkeypatch.setattr(gguf_file, "MOST_PARTS", 7 * len(weights))
    with pytest.raises(ValueError, match="parts"):
        stored_names(file, folder)


def test_the_hash_of_weights_is_of_the_file_that_has_them(folder, weights, tmp_path):
    q8, q4 = (write_gguf(tmp_path / f"{kind}.gguf", weights, kind) for kind in ("Q8_0", "Q4_0"))
    copied = shutil.copy(q8, tmp_path / "copied.gguf")
    assert len({weights_sha256(folder), weights_sha256(folder, q8), weights_sha256(folder, q4)}) == 3
    bare = Path(shutil.copytree(folder, tmp_path / "bare"))
    [*replaced] = (bare / "transformer").glob("*.safetensors")
    for path in replaced:
        path.unlink()  # a file of GGUF has them
    assert replaced and weights_sha256(str(bare), copied) == weights_sha256(folder, q8)
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    (other / "transformer" / "config.json").write_text("{}")
    assert weights_sha256(str(other), q8) != weights_sha256(folder, q8)
