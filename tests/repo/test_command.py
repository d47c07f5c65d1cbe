"""The program ``v4e``: what it lists, how it reads arguments, what it says of wrong ones."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.parts.command import OPTIONS, PIPELINES, commands, main, overview
from v4e.config.commands import EditOptions, read_options

V4E = Path(sys.executable).with_name("v4e")
HEAVY = ("torch", "ray", "diffusers", "pyarrow", "numpy")


def test_every_command_is_listed_with_one_line():
    listed = {line.split()[0]: line.split(maxsplit=1)[1] for line in overview().splitlines()[2:]}
    assert listed.keys() == commands().keys() and {"edit", "train", "demo", "serve", "plan", "world"} <= listed.keys()
    assert all(text.endswith(".") for text in listed.values())


def test_every_script_of_pipelines_is_a_command():
    assert {path.stem for path in PIPELINES.glob("*.py")} - {"__init__"} <= commands().keys()


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["edit", "--help"], ["train", "kd.wieght=0"]])
def test_help_and_a_mistyped_key_import_nothing_heavy(arguments):
    watch = f"import sys; sys.argv[1:] = {arguments!r}\nfrom pipelines.parts.command import console\n"
    watch += "try: console()\nexcept SystemExit: pass\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", watch], capture_output=True, text=True, check=True)
    assert not {*done.stderr.split()} & {*HEAVY}


@pytest.mark.slow
def test_a_stage_whose_models_are_in_actors_imports_none_to_start():
    """Of the first seconds of a run its driver took seven to import diffusers, which it never used."""
    drivers = [path.stem for path in PIPELINES.glob("stages/*.py") if "from actors" in path.read_text()]
    watch = "import sys, importlib\n"
    watch += f"for name in {sorted(drivers)}: importlib.import_module('pipelines.stages.' + name)\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", watch], capture_output=True, text=True, check=True)
    assert {"train", "rollout", "evaluate"} <= {*drivers}
    assert not {*done.stdout.split()} & {"diffusers", "transformers", "vllm"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], "nearest is train"),
        (["train", "kd.wieght=0"], "nearest is kd.weight"),
        (["edit"], "IMAGE is missing"),
        (["edit", "a.png"], "INSTRUCTION is missing"),
        (["edit", "a.png", "make it red", "stepz=3"], "nearest is steps"),
        (["edit", "a.png", "make it red", "--steps"], "nearest is steps"),
        (["edit", "a.png", "make it red", "-o"], "expected a file after it"),
        (["edit", "a.png", "make it red", "steps=two"], "steps=two: expected an integer"),
        (["edit", "a.png", "make it red", "steps=2", "steps=3"], "steps is given twice"),
        (["serve", "port=http"], "port=http: expected a number"),
        (["serve", "prot=1"], "unknown setting prot"),
    ],
)
def test_what_is_wrong_is_one_line_and_status_2(arguments, words):
    done = subprocess.run([V4E, *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("error: ") and words in line


def test_an_instruction_may_hold_an_equals_sign():
    read = read_options(EditOptions, ["a.png", "write 1+1=2", "-o", "out.png", "steps=4"])
    assert (read.image, read.instruction, read.out, read.steps) == ("a.png", "write 1+1=2", "out.png", 4)


@pytest.mark.parametrize("name", OPTIONS)
def test_help_names_every_option(name, capsys):
    main(name, ["--help"])
    said = capsys.readouterr().out
    assert all(key in said or key.upper() in said for key in OPTIONS[name].__dataclass_fields__)
