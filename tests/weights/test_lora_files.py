"""LoRAs come by name, a few stay, and none leaves a trace in the base."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.loras import write_lora
from v4e.models.dit import DitInputs, predict
from v4e.weights.load import load_dit
from v4e.weights.lora_files import Adapters, merge


@pytest.fixture
def dit(random_family):
    return load_dit(str(random_family / "tiny-wan-i2v"), torch.float32).eval().requires_grad_(False)


@torch.no_grad()
def velocity(dit) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    x = draw(1, 16, 2, 8, 8)
    inputs = DitInputs(y_BCFHW=draw(1, 20, 2, 8, 8), text=[draw(7, 96)], image_BID=draw(1, 17, 96))
    return predict(dit, x, torch.tensor([0.5]), inputs)[0]


def test_at_most_so_many_are_held_and_the_base_is_itself_to_the_bit(dit, tmp_path):
    base = velocity(dit)
    files = {f"style.{n}": write_lora(dit, tmp_path / f"{n}.safetensors", seed=n, rank=2 + n) for n in range(3)}
    adapters = Adapters(dit, files, most=2)
    assert adapters.held == [] and not any("lora" in name for name, _ in dit.named_parameters())
    made = {}
    for name in files:
        adapters.use(name)
        made[name] = velocity(dit)
        assert (made[name] - base).abs().max() > 1e-3
    assert adapters.held == ["style.1", "style.2"]
    adapters.use("style.1")
    assert torch.equal(velocity(dit), made["style.1"])
    adapters.use(None)
    assert torch.equal(velocity(dit), base)
    adapters.use("style.0")  # read again; the longest unused had to go
    assert adapters.held == ["style.1", "style.0"]
    assert torch.equal(velocity(dit), made["style.0"])
    ranks = {p.shape[0] for name, p in dit.named_parameters() if "lora_A" in name}
    assert ranks == {2, 3}
    adapters.use(None)
    assert torch.equal(velocity(dit), base)
    assert not any(p.requires_grad for p in dit.parameters())


def test_the_weights_do_what_a_lora_means(dit, tmp_path):
    file = write_lora(dit, tmp_path / "a.safetensors", seed=1)
    weights = load_file(file)
    adapters = Adapters(dit, {"a": file})
    adapters.use("a")
    with_lora = velocity(dit)
    adapters.use(None)
    for key, a in weights.items():
        if key.endswith("lora_A.weight"):
            layer = dit.get_submodule(key.removeprefix("transformer.").removesuffix(".lora_A.weight")).base_layer
            layer.weight += weights[key.replace("lora_A", "lora_B")] @ a
    torch.testing.assert_close(velocity(dit), with_lora, atol=1e-5, rtol=1e-5)


def test_original_names_are_read_too(dit, tmp_path):
    """As the Wan community's trainers write them: diffusion_model.blocks.N.self_attn.q.lora_down.weight."""
    weights, generator = {}, torch.Generator().manual_seed(0)
    for block in range(len(dit.blocks)):
        for part, shape in (("A", (2, 160)), ("B", (160, 2))):
            drawn = torch.randn(shape, generator=generator) * 0.05  # drawn: a layer norm's output times ones is zero
            weights[f"diffusion_model.blocks.{block}.self_attn.q.lora_{part}.weight"] = drawn
    save_file(weights, tmp_path / "theirs.safetensors")
    base, adapters = velocity(dit), Adapters(dit, {"theirs": str(tmp_path / "theirs.safetensors")})
    adapters.use("theirs")
    assert (velocity(dit) - base).abs().max() > 1e-4


def test_a_merged_lora_is_the_adapter_and_leaves_none(dit, tmp_path):
    """With a bias too, as step-distilled LoRAs of the Wan community have it (``diff_b``)."""
    names = [name for name, _ in dit.named_parameters()]
    file = write_lora(dit, tmp_path / "a.safetensors", seed=1)
    weights = load_file(file)
    weights |= {
        key.replace("lora_B.weight", "lora_B.bias"): torch.full((len(b),), 0.05)
        for key, b in weights.items()
        if key.endswith("lora_B.weight")
    }
    save_file(weights, file, metadata={"format": "pt"})
    base, adapters = velocity(dit), Adapters(dit, {"a": file})
    adapters.use("a")
    with_lora = velocity(dit)
    dit.unload_lora()
    assert torch.equal(velocity(dit), base)
    merge(dit, file, key="teacher.lora")
    torch.testing.assert_close(velocity(dit), with_lora, atol=1e-5, rtol=1e-5)
    assert [name for name, _ in dit.named_parameters()] == names
    with pytest.raises(FileNotFoundError, match=r"lora teacher\.lora: there is no"):
        merge(dit, str(tmp_path / "none.safetensors"), key="teacher.lora")


def test_what_is_no_lora_of_this_model_is_refused_when_it_is_named(dit, tmp_path):
    def refused(error, message: str, file) -> None:
        with pytest.raises(error, match=message):
            Adapters(dit, {"x": str(file)})

    refused(FileNotFoundError, "lora x: there is no", tmp_path / "none.safetensors")
    refused(FileNotFoundError, "pytorch_lora_weights.safetensors", tmp_path)
    (tmp_path / "a.bin").write_bytes(b"pickle")
    refused(ValueError, "no .safetensors file", tmp_path / "a.bin")
    (tmp_path / "torn.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0not json at all..")
    refused(ValueError, "cannot be read", tmp_path / "torn.safetensors")
    key = "transformer.blocks.0.attn1.to_q.lora_{}.weight"
    save_file(
        {key.format("A"): torch.zeros(2, 99), key.format("B"): torch.zeros(160, 2)}, tmp_path / "wide.safetensors"
    )
    refused(ValueError, r"\(2, 99\).*160 to 160", tmp_path / "wide.safetensors")
    save_file({key.replace("0", "77").format("A"): torch.zeros(2, 160)}, tmp_path / "deep.safetensors")
    refused(ValueError, "blocks.77", tmp_path / "deep.safetensors")
    with pytest.raises(ValueError, match="most=0"):
        Adapters(dit, {}, most=0)


@pytest.mark.parametrize(
    "key", ["lora_unet_blocks_0_foo.lora_down.weight", "diffusion_model.nowhere.lora_A.weight", "x"]
)
def test_foreign_keys_are_told_with_file_and_name(dit, tmp_path, key):
    file = tmp_path / "foreign.safetensors"
    save_file({key: torch.zeros(2, 2)}, file)
    with pytest.raises(ValueError, match=r"^lora ink: .*foreign\.safetensors") as caught:
        Adapters(dit, {"ink": str(file)})
    assert "\n" not in str(caught.value)
