"""What a run refuses before its first stage."""

import pytest
from diffusers.models import attention_dispatch

from pipelines.parts.command import carry_out
from pipelines.stages import ablate, demo
from tests.support.processes import ROOT
from v4e.config import RECIPES, parse
from v4e.faults import Fault
from v4e.training import checks as startup


def started(step, *arguments: str) -> None:
    """Runs `step` from the command line, to the refusal that it must end in."""
    with pytest.raises(SystemExit) as ended:
        carry_out([*arguments], parse, step)
    assert ended.value.code == 1


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("models.student=/nonexistent", "models.student: /nonexistent is no diffusers pipeline folder"),
        ("models.student=nonexistent/nonexistent", "models.student=nonexistent/nonexistent has no transformer"),
        ("models.student=v4e/data", "models.student: v4e/data is no"),
        ("models.student=.", "models.student: . is no"),
        ("models.teacher=/nonexistent", "models.teacher: /nonexistent is no"),
        ("models.teacher=", "models.teacher:  is no"),
        ("kd.taps=1,99", "blocks 0..5, not [99]"),
        ("teacher.tp=3", "over 3 ranks"),
        ("models.attention=nativ", "models.attention=nativ: expected one of flash"),
        ("models.attention=flash", "pip install -e '.[flash]', or set models.attention=native"),
        ("data.train=/nonexistent.parquet", "no triplets at /nonexistent.parquet: set data.train"),
        ("data.frames=9", "was trained on clips of 5 frames only, as its vae/config.json says: set data.frames=5"),
        (f"data.heldout={ROOT / 'README.md'}", "README.md cannot be read as Parquet"),
    ],
)
@pytest.mark.parametrize("step", [demo.run, ablate.run])
def test_what_a_later_stage_would_refuse_is_refused_first(argument, words, step, monkeypatch, tmp_path, capsys):
    folder = tmp_path / "run"
    monkeypatch.setattr(demo, "triplets", lambda _: pytest.fail("the first stage began"))
    options = [argument, f"run.dir={folder}"]
    if argument.startswith("models.attention"):
        options.append("models.fold_pad=false")
    started(step, *options)
    said = capsys.readouterr()
    assert words in said.err and said.err.startswith("error: ") and said.err.count("\n") == 1
    assert not folder.exists()


def test_a_backend_of_16_bits_needs_both_models_in_them(monkeypatch):
    monkeypatch.setattr(attention_dispatch, "_CAN_USE_FLASH_ATTN", True)
    arguments = ["models.attention=flash", "models.fold_pad=false"]
    for key in ("models.dtype", "train.dtype"):
        with pytest.raises(Fault, match=f"models.attention=flash .* set {key}=bfloat16") as error:
            startup.check_attention(parse(arguments))
        assert error.value.code == "T01"
        arguments.append(f"{key}=bfloat16")
    startup.check_attention(parse(arguments))


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_computes_in_what_its_attention_takes(recipe, monkeypatch):
    monkeypatch.setattr(attention_dispatch, "_CAN_USE_FLASH_ATTN", True)
    startup.check_attention(parse([f"recipe={recipe}"]))


def test_a_run_that_can_start_is_let_through():
    student, teacher = startup.check_run(parse([]))
    assert student["num_layers"] == teacher["num_layers"] == 6


@pytest.mark.parametrize("below", ["", "/below"])
def test_a_file_in_place_of_the_run_folder_is_refused(below, monkeypatch, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    started(lambda _: pytest.fail("it began"), f"run.dir={tmp_path / 'file'}{below}")
    said = capsys.readouterr().err
    assert f"run.dir={tmp_path}/file{below}: {tmp_path}/file is a file" in said and said.count("\n") == 1
