"""``v4e edit`` as a person runs it: files out, progress, one line for what is wrong."""

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pipelines.parts.command import main
from tests.support.loras import write_lora
from v4e.files.images import open_image
from v4e.files.masks import open_mask
from v4e.weights.load import DTYPES, load_dit
from v4e.weights.student import BASE


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "photo.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (45, 70, 3), dtype=np.uint8)).save(path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("program", [False, pytest.param(True, marks=pytest.mark.long)])
def test_the_readmes_line(photo, tmp_path, capsys, program):
    files = ["-o", f"{tmp_path}/out.png", f"clip={tmp_path}/out.mp4", f"strip={tmp_path}/strip.png"]
    arguments = [str(photo), "make the car blue", *files, "steps=2"]
    if program:
        command = [Path(sys.executable).with_name("v4e"), "edit", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        out, err = done.stdout, done.stderr
    else:
        main("edit", arguments)
        out, err = capsys.readouterr()
    assert [line.split(",")[0] for line in err.splitlines() if line.startswith("step")] == ["step 1/2", "step 2/2"]
    assert "70x45, edited at 32x16" in err
    assert out.startswith(f"wrote {tmp_path}/out.png, {tmp_path}/out.mp4, {tmp_path}/strip.png (seed 0, ")
    assert Image.open(tmp_path / "out.png").size == (70, 45)
    with av.open(f"{tmp_path}/out.mp4") as clip:
        assert len(list(clip.decode(video=0))) == 5
    assert Image.open(tmp_path / "strip.png").height == 45 + 14


@pytest.mark.slow
def test_same_seed_same_bytes_and_every_option_reaches_the_editor(photo, tmp_path, random_family, capsys):
    dit = load_dit(BASE, DTYPES["float32"])
    lora = write_lora(dit, tmp_path / "ink.safetensors", seed=1)

    def edit(**changes: object) -> bytes:
        out = tmp_path / "out.png"
        options = {"steps": 2, "size": "32x32"} | changes
        pairs = [f"{key}={value}" for key, value in options.items()]
        main("edit", [str(photo), "make the car blue", "-o", str(out), *pairs])
        return out.read_bytes()

    plain = edit()
    assert edit() == plain
    seen = {plain}
    for changes in (
        {"seed": 1},
        {"steps": 3},
        {"guidance": 3},
        {"guidance": 3, "negative": "red"},
        {"lora": lora},
        {"size": "48x32"},
        {"solver": "unipc"},
    ):
        seen.add(edit(**changes))
    untrained = random_family / "tiny-wan-i2v"  # it names no lengths of clips, so any is fine
    seen |= {edit(model=untrained), edit(model=untrained, frames=9)}
    assert len(seen) == 10
    assert "not exact" not in capsys.readouterr().out
    edit(bf16_decode="true", step_cache=0.5)
    assert "not exact: step_cache=0.5, bf16_decode)" in capsys.readouterr().out


@pytest.mark.slow
def test_a_masks_outside_stays_to_the_bit(photo, tmp_path):
    source, mask = open_image(photo), Image.new("L", (70, 45))
    mask.paste(255, (4, 4, 24, 20))
    mask.save(tmp_path / "mask.png")
    outside = np.asarray(mask) == 0
    for more in (["hold=true"], ["crop=true", "preserve=auto"], ["strength=0.5"]):
        files = [f"mask={tmp_path}/mask.png", f"region={tmp_path}/region.png", "-o", f"{tmp_path}/out.png"]
        main("edit", [str(photo), "make the car blue", *files, "steps=1", "size=32x32", *more])
        region = open_mask(tmp_path / "region.png", source.size)
        assert (np.asarray(region)[outside] == 0).all()
        assert (np.asarray(Image.open(tmp_path / "out.png"))[outside] == np.asarray(source)[outside]).all()
    main("edit", [str(photo), "make the car blue", "-o", f"{tmp_path}/out.png", "steps=1", "size=32x32", "strength=0"])
    assert (np.asarray(Image.open(tmp_path / "out.png")) == np.asarray(source)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": "none.jpg"}, "none.jpg: no such file"),
        ({"image": __file__}, "test_edit_command.py: it is no picture"),
        ({"out": "out.tiff"}, "out=out.tiff: expected a name that ends in .png, .jpg"),
        ({"out": "nowhere/out.png"}, "nowhere is no folder"),
        ({"instruction": " "}, "the instruction is empty"),
        ({"options": ["clip=out.avi"]}, "clip=out.avi: expected a name that ends in .mp4, .gif, .webp"),
        ({"options": ["lora=none.safetensors"]}, "there is no none.safetensors"),
        ({"options": ["model=./nowhere"]}, "nowhere is no diffusers pipeline folder"),
        ({"options": ["size=64"]}, "size=64: expected WIDTHxHEIGHT"),
        ({"options": ["size=4096x64"]}, "this model has positions for 512 a side"),
        ({"options": ["frames=6"]}, "frames=6"),
        ({"options": ["frames=9"]}, "was trained on clips of 5 frames only"),
        ({"options": ["negative=red"]}, "negative does nothing without guidance"),
        ({"options": ["weights=int8"]}, "weights=int8 needs a CUDA GPU"),
        ({"options": ["step_cache=2"]}, "step_cache=2.0: expected a share"),
        ({"options": ["example=1"]}, "example=1 has a picture and an instruction: give none"),
        ({"options": ["strength=2"]}, "strength=2.0: expected 0"),
        ({"options": ["mask=none.png"]}, "none.png: no such file"),
        ({"options": ["hold=true"]}, "hold=True"),
        ({"options": ["region=region.png"]}, "region=region.png: there is none when all is edited"),
        ({"options": ["preserve=auto", "region=region.jpg"]}, "region=region.jpg: expected a name that ends in .png"),
        ({"options": ["guidance=nan"], "status": 2}, "guidance=nan must be a number"),
        ({"options": ["guidance=inf"]}, "guidance=inf: expected a number, not negative"),
        ({"options": ["guidance=-1"]}, "guidance=-1.0: expected a number, not negative"),
        ({"options": ["steps=0"]}, "steps=0: expected at least 1"),
        ({"options": ["seed=99999999999999999999999"]}, "seed=99999999999999999999999: expected a whole number from 0"),
        ({"options": ["seed=-2"]}, "seed=-2: expected a whole number from 0"),
        ({"out": "out.webp", "size": (17, 16_400)}, "out: webp holds at most 16383 pixels a side"),
    ],
)
def test_what_is_wrong_is_one_line(photo, tmp_path, capsys, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    image, out = change.get("image", str(photo)), change.get("out", "out.png")
    if size := change.get("size"):
        image = str(tmp_path.parent / f"{tmp_path.name}.png")
        Image.new("RGB", size).save(image)
    with pytest.raises(SystemExit) as ended:
        main("edit", [image, change.get("instruction", "make it blue"), "-o", out, *change.get("options", [])])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert ended.value.code == change.get("status", 1) and len(lines) == 1
    assert message in lines[0]
    assert list(tmp_path.iterdir()) == []
