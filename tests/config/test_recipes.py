"""The command line: what it takes, and what it says when it is wrong."""

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from v4e.config import RECIPES, Data, Optim, parse

ROOT = Path(__file__).parent.parent.parent
OUT_OF_RANGE = (
    *("data.limit=-1", "data.cache_mib=-1", "data.max_pixels=0", "eval.limit=-1", "eval.batch=0", "eval.actors=0"),
    *("optim.lr=0.0", "optim.lr=nan", "optim.lr=inf", "optim.clip=0.0", "optim.clip=nan", "optim.weight_decay=-0.1"),
    *("optim.beta1=1.0", "optim.beta2=-0.1", "flow.shift=0.0", "flow.weight=-1.0", "kd.weight=nan", "tail.power=inf"),
    *("sample.guidance=-1.0", "sample.guidance=inf", "teacher.guidance=nan", "teacher.timeout_s=0.0"),
    *("teacher.retries=-1", "teacher.gpus=-1", "caption.max_tokens=0", "caption.temperature=-1.0"),
    *("caption.timeout_s=0.0", "caption.gpus=-1", "precompute.gpus_per_actor=-1", "train.max_failures=-1"),
    *("train.gpus_per_worker=-1", "train.shard=-1", "plan.train_tflops=-1.0", "plan.infer_tflops=nan"),
    "plan.caption_tokens=0",
)


def test_parse_changes_only_what_it_is_told():
    config = parse(["recipe=tiny", "kd.weight=0.5", "kd.taps=0,2", "tail.space=pixel", "run.overwrite=true"])
    assert (config.kd.weight, config.kd.taps, config.tail.space, config.run.overwrite) == (0.5, (0, 2), "pixel", True)
    back = parse(["run.overwrite=false", "kd.weight=1.0", "kd.taps=1,3,5", "tail.space=latent"])
    assert back == RECIPES["tiny"]()


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_is_valid_and_plain_data(recipe):
    config = parse([f"recipe={recipe}"])
    assert config.recipe == recipe
    assert asdict(config)["optim"]["steps"] == config.optim.steps


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("kd.wieght=0", ["kd.wieght", "kd.weight"]),
        ("recipe=tny", ["tny", "tiny"]),
        ("kd.taps=a", ["kd.taps", "comma-separated integers"]),
        ("kd.taps=3,1", ["kd.taps", "rising"]),
        ("tail.space=latnt", ["latnt", "latent"]),
        ("teacher.payload=fp4", ["fp4", "bf16, fp8"]),
        ("teacher.tokens=last", ["last", "all, tail"]),
        ("train.recompute=true", ["true", "none, full, selective"]),
        ("train.offload=moments", ["moments", "none, optimizer, all"]),
        ("train.shard=2", ["train.shard=2", "that the run may have, 1:", "divisor"]),
        ("run.overwrite=yes", ["true or false"]),
        ("data.frames=7", ["data.frames=5"]),
        ("data.height=40", ["16-pixel grid", "data.height=32"]),
        ("optim.steps=many", ["an integer"]),
        ("overwrite", ["key=value"]),
        ("recpie=tiny", ["recpie", "nearest is recipe"]),
        ("recipe=", list(RECIPES)),
        ("run.dir=", ["run.dir", "runs/demo"]),
        *[(argument, [argument.split("=")[0], argument.split("=")[1], "must be"]) for argument in OUT_OF_RANGE],
    ],
)
def test_a_mistake_is_one_line_that_names_the_way_out(argument, words):
    with pytest.raises(ValueError) as error:
        parse([argument])
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("argv", [["kd.weight=1", "--kd.weight=0"], ["recipe=tiny", "recipe=tiny"]])
def test_a_repeated_key_is_refused(argv):
    with pytest.raises(ValueError, match=r"(kd\.weight|recipe) is given twice"):
        parse(argv)


def test_nothing_to_train_is_refused():
    with pytest.raises(ValueError, match="nothing would be trained"):
        parse(["kd.weight=0", "tail.weight=0"])


def test_no_recipe_supervises_a_short_clips_tail_by_tiled_edits():
    assert not [name for name, recipe in RECIPES.items() if recipe().doubt]
    said = parse(["recipe=wan14b_480p", "tail.context=source"]).doubt
    assert "\n" not in said and "set tail.context=fade" in said
    for fine in ("data.frames=9", "tail.weight=0", "models.positions=0,7"):
        assert not parse(["tail.context=source", fine]).doubt


def test_14b_clips_take_8_forwards_and_their_makers_way_is_three_settings_away():
    """The values of Wan2.1's generate.py, first_last_frame2video.py and configs for flf2v-14B."""
    makers = ("teacher.steps=50", "teacher.shift=16", "teacher.guidance=5.5")
    for name in ("wan14b_480p", "wan14b_720p", "wan14b_lora"):
        config, their = parse([f"recipe={name}"]), parse([f"recipe={name}", *makers]).teacher
        assert (config.teacher.forwards, their.forwards, config.flow.shift in (3, 5)) == (8, 100, True)
        assert (their.solver, their.shift, their.guidance, their.steps) == ("unipc", 16, 5.5, 50)
        assert (
            their.negative.startswith("镜头切换") and their.negative.endswith("倒着走") and len(their.negative) == 147
        )


def test_a_lora_needs_a_whole_teacher():
    with pytest.raises(ValueError, match=r"teacher\.lora.*teacher\.tp=2.*set teacher\.tp=1"):
        parse(["teacher.lora=a.safetensors", "teacher.tp=2"])


def test_accumulation_must_divide_over_the_workers():
    with pytest.raises(ValueError, match=r"optim.accumulate=8 .* train.workers=3"):
        parse(["recipe=wan14b_480p", "train.workers=3"])


def test_latent_frames():
    assert [Data(frames=p).latent_frames for p in (5, 9, 81)] == [2, 3, 21]
    with pytest.raises(ValueError, match=r"optim\.batch"):
        Optim(batch=0)


@pytest.mark.slow
def test_a_script_runs_from_a_clean_checkout():
    """Without the package installed: the script finds the repository by itself."""
    run = subprocess.run(
        [sys.executable, "-I", str(ROOT / "pipelines/train.py"), "kd.wieght=0"],
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert run.returncode == 2
    assert run.stderr.startswith("error: unknown key 'kd.wieght'") and run.stderr.count("\n") == 1
