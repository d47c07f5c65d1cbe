"""A run starts from LoRAs, and an export merges further ones, to the weights that diffusers' own merge makes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipelines.stages import export
from tests.support.loras import write_lora
from tests.support.student import make_batch
from tests.support.synthetic import config
from v4e.config import Config, Export
from v4e.faults import Fault
from v4e.training import checkpoint
from v4e.training.checks import check_run
from v4e.training.resume import check_export, check_resume, remember
from v4e.training.student import StudentTrainer
from v4e.weights.hub import named_loras
from v4e.weights.load import load_dit, load_student
from v4e.weights.lora import base_name, is_adapter, trainable
from v4e.weights.lora_files import read
from v4e.weights.lora_merge import changed, read_changes
from v4e.weights.lora_names import METADATA, comfyui_lora, kohya_lora
from v4e.weights.shard import empty_dit, fill_shards

CPU = torch.device("cpu")
ADAPTERS = {"rank": 2, "targets": ("to_q", "ffn.net.2")}


@pytest.fixture(scope="module")
def family(random_family) -> Path:
    return random_family


@pytest.fixture(scope="module")
def files(tmp_path_factory, family) -> dict[str, str]:
    """The same kind of LoRA in the names of each program, of other numbers each."""
    folder = tmp_path_factory.mktemp("loras")
    dit = load_dit(str(family / "tiny-wan-i2v"), torch.float32)
    found = {name: write_lora(dit, folder / f"{name}.safetensors", seed=n) for n, name in enumerate("abc")}
    for name, named, seed in (("comfyui", comfyui_lora, 4), ("kohya", kohya_lora, 5)):
        plain = load_file(write_lora(dit, folder / "plain.safetensors", seed=seed))
        ours = {key.removeprefix("transformer.").replace(".weight", ".default.weight"): w for key, w in plain.items()}
        found[name] = str(folder / f"{name}.safetensors")
        save_file(named(ours, 2), found[name])
    weights = load_file(found["a"])
    some = [key.removesuffix(".lora_B.weight") for key in weights if key.endswith("to_q.lora_B.weight")]
    biased = {f"{name}.lora_B.bias": torch.full((weights[f"{name}.lora_B.weight"].shape[0],), 0.3) for name in some}
    kept = {key: weight for key, weight in weights.items() if any(key.startswith(f"{name}.") for name in some)}
    said = {"r": 3, "lora_alpha": 6, "lora_bias": True, "use_rslora": True, "alpha_pattern": {"blocks.1.attn1.to_q": 1}}
    said |= {"target_modules": [name.removeprefix("transformer.") for name in some]}
    header = {METADATA: json.dumps({f"transformer.{key}": value for key, value in said.items()})}
    found["header"] = str(folder / "header.safetensors")
    save_file(kept | biased, found["header"], metadata=header)
    return found


def settings(folder: Path, family: Path, **sections: dict) -> Config:
    models = {"student": str(family / "tiny-wan-i2v"), "teacher": str(family / "tiny-wan-flf2v")}
    sections["models"] = models | sections.get("models", {})
    optim = {"steps": 1, "batch": 1, "accumulate": 1, "lr": 0.02, "ema": 0.5}
    return config(**{"run": {"dir": str(folder)}, "optim": optim} | sections)


def fused(family: Path, *loras: tuple[str, float]) -> dict[str, torch.Tensor]:
    """The base's weights with LoRAs in them by diffusers' own merge."""
    dit = load_dit(str(family / "tiny-wan-i2v"), torch.float32)
    for number, (file, weight) in enumerate(loras):
        state, metadata = read(dit, "file", file)
        dit.load_lora_adapter(state, prefix="transformer", adapter_name=f"a{number}", metadata=metadata)
        dit.fuse_lora(lora_scale=weight, adapter_names=[f"a{number}"])
        dit.unload_lora()
    return dict(dit.named_parameters())


def close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return found.keys() == expected.keys() and all(
        torch.allclose(found[name].float(), expected[name].float(), rtol=1e-5, atol=1e-6) for name in expected
    )


@pytest.mark.parametrize("name", ["a", "comfyui", "kohya", "header"])
def test_a_run_starts_from_a_lora_in_any_of_the_names(name, files, family, tmp_path):
    run = settings(tmp_path, family, models={"lora": (f"{files[name]}:0.5", files["b"])})
    check_run(run)
    found = dict(load_student(run, CPU, None).named_parameters())
    assert close(found, fused(family, (files[name], 0.5), (files["b"], 1.0)))
    assert not close(found, fused(family, (files[name], 1.0), (files["b"], 1.0)))


def test_a_rank_adds_to_its_own_rows_what_all_rows_get(files, family, tmp_path):
    dit = load_dit(str(family / "tiny-wan-i2v"), torch.float32)
    loras = (files["header"], f"{files['a']}:0.3")
    changes = read_changes(dit, loras, "models.lora")
    assert any(name.endswith(".bias") for name in changes)
    for name, ours in changes.items():
        weight = dit.get_parameter(name).detach()
        parts = [changed(weight[rows], ours, rows) for rows in (slice(0, 5), slice(5, None))]
        assert torch.equal(torch.cat(parts), changed(weight, ours))
    run = settings(tmp_path, family, models={"lora": loras}, lora=ADAPTERS)
    filled = trainable(empty_dit(run.models.student), run.lora, torch.float32, 0)
    fill_shards(filled, run.models.student, CPU, 0, changes=read_changes(filled, loras, "models.lora"))
    alone = dict(load_student(run, CPU, None).named_parameters())
    bases = {base_name(name): weight for name, weight in filled.named_parameters() if not is_adapter(name)}
    assert bases.keys() == alone.keys() and all(torch.equal(bases[name], alone[name]) for name in bases)


@pytest.mark.slow
@pytest.mark.parametrize("adapters", [{}, ADAPTERS], ids=["all weights", "adapters"])
def test_an_export_holds_what_the_run_began_with_and_what_is_added(adapters, files, family, tmp_path):
    """Trained for no step, so that only what was merged is in it."""
    run = settings(tmp_path, family, models={"lora": (files["a"],)}, lora=adapters)
    trainer = StudentTrainer(run, load_student(run, CPU, None), device=CPU)
    remember(run, ["s0"])
    checkpoint.save(tmp_path / "checkpoints", 1, trainer.state_dict(), keep=1)
    more = Export(weights="ema", loras=(f"{files['b']}:-0.5", files["kohya"]))
    export.run(replace(run, export=more))
    found = dict(load_dit(str(tmp_path / "export/ema"), torch.float32).named_parameters())
    assert close(found, fused(family, (files["a"], 1.0), (files["b"], -0.5), (files["kohya"], 1.0)))
    text = (tmp_path / "export/ema/README.md").read_text()
    assert "tiny-wan-i2v + a.safetensors |" in text and "b.safetensors x -0.5, kohya.safetensors." in text
    assert "| diffusers, v4e | this folder |" in text and str(Path(files["a"]).parent) not in text
    if adapters:
        text = (tmp_path / "export/ema-lora/README.md").read_text()
        assert "with a.safetensors merged" in text and "musubi-tuner | `kohya.safetensors` |" in text


@pytest.mark.slow
def test_a_step_from_a_lora_is_a_step_from_the_folder_with_it_merged(files, family, tmp_path):
    run = settings(tmp_path / "one", family, models={"lora": (files["a"],)})
    trainer = StudentTrainer(run, load_student(run, CPU, None), device=CPU)
    checkpoint.save(tmp_path / "one/checkpoints", 1, trainer.state_dict(), keep=1)
    remember(run, ["s0"])
    export.run(replace(run, export=Export(weights="model")))
    merged = settings(tmp_path / "two", family, models={"student": str(tmp_path / "one/export/student")})
    other = StudentTrainer(merged, load_student(merged, CPU, None), device=CPU)
    first, second = (one.step([make_batch(1, 0)]) for one in (trainer, other))
    assert first == second and first["loss"] > 0


def test_a_run_goes_on_with_the_same_lora_in_another_place_alone(files, family, tmp_path):
    run = settings(tmp_path / "run", family, models={"lora": (files["a"],)})
    remember(run, ["s0"])
    (tmp_path / "run/checkpoints/step-000001").mkdir(parents=True)
    (tmp_path / "run/checkpoints/step-000001/.metadata").touch()
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(Path(files["a"]).read_bytes())

    def given(*loras: str) -> Config:
        return replace(run, models=replace(run.models, lora=loras))

    check_resume(given(str(moved)), ["s0"])
    check_export(given(str(moved)))
    for other in ((files["b"],), (f"{moved}:0.5",), (files["a"], files["b"]), ()):
        for check in (lambda one: check_resume(one, ["s0"]), check_export):
            with pytest.raises(Fault, match=r"models\.lora"):
                check(given(*other))


@pytest.mark.parametrize(
    ("given", "error"),
    [("nowhere.safetensors", FileNotFoundError), ("a.bin", FileNotFoundError), ("{a}:nan", Fault), ("{vae}", Fault)],
)
def test_what_is_no_lora_of_the_student_is_refused_before_the_run(given, error, files, family, tmp_path):
    vae = family / "tiny-wan-i2v/vae/diffusion_pytorch_model.safetensors"
    run = settings(tmp_path, family, models={"lora": (given.format(a=files["a"], vae=vae),)})
    with pytest.raises(error, match=r"models\.lora") as caught:
        check_run(run)
    assert "\n" not in str(caught.value)


def test_a_weight_stands_behind_the_last_colon():
    given = ("a.safetensors", "b:0.5", "c:d", "e:f:-1e-1")
    assert named_loras(given, "key") == [("a.safetensors", 1.0), ("b", 0.5), ("c:d", 1.0), ("e:f", -0.1)]
