"""Signed results over HTTP: each says where it came from, and the command derives the same bits again."""

import base64
import functools
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.support.served import SMALL, http, picture, png, served
from pipelines.stages import edit, verify
from serve.engine import EditEngine
from serve.settings import Settings
from serve.startup import check
from tests.support.gguf_files import write_gguf
from v4e.config.commands import EditOptions, VerifyOptions
from v4e.editing.editor import Editor
from v4e.editing.record import record_of
from v4e.files.credentials import read, signed
from v4e.files.signers import own_signer
from v4e.weights.load import load_dit

pytest.importorskip("c2pa")
WORDS = "make it blue"
RIGHT = {
    "instruction": "x", "negative": None, "words_sha256": "", "seed": 0, "settings": {"height": 32, "width": 32},
    "crop": False, "width": 32, "height": 32, "source_sha256": "", "mask_sha256": None, "model": "", "how": [],
    "weights_sha256": "", "lora_sha256": None, "dtype": "float32", "attention": "native", "threads": 1, "made_on": "",
    "form": "png", "quality": 100,
}  # fmt: skip
LOADED = functools.cache(Editor.load)  # of the command, which loads one at each call


def loaded(folder: str, *, loras: dict[str, str], **more) -> Editor:
    assert not loras
    return LOADED(folder, **more)


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def url(state):
    settings = Settings(state=str(state), steps=2, **SMALL)
    with served(settings, EditEngine(settings)) as url:
        yield url


@pytest.fixture(autouse=True)
def one_editor(url, monkeypatch):
    monkeypatch.setattr(Editor, "load", loaded)


def asked(url: str, image: bytes, **fields) -> bytes:
    fields = {"prompt": WORDS, "seed": 3, "sign": "text"} | fields
    answer = http.post(f"{url}/v1/images/edits", data=fields, files={"image": image})
    assert answer.status_code == 200, answer.text
    return base64.b64decode(answer.json()["data"][0]["b64_json"])


def again(tmp_path, blob: bytes, source: bytes, **options) -> None:
    (tmp_path / "out.png").write_bytes(blob)
    (tmp_path / "source.png").write_bytes(source)
    verify.run(VerifyOptions(file=str(tmp_path / "out.png"), source=str(tmp_path / "source.png"), **options))


def photo(size=(48, 32), seed=0) -> bytes:
    return png(picture(seed, size))


@pytest.mark.slow
@pytest.mark.parametrize(("form", "quality"), [("png", 100), ("jpeg", 85), ("webp", 60)])
def test_a_result_is_signed_and_derived_again_to_the_bit(url, tmp_path, capsys, form, quality):
    source = photo()
    blob = asked(url, source, output_format=form, output_compression=quality)
    assert read(blob, f"image/{form}").state == "valid"
    again(tmp_path, blob, source)
    assert "1536 pixels are equal to the bit" in capsys.readouterr().out


def test_all_that_decides_an_edit_is_in_its_record(url, tmp_path, capsys):
    source = photo((64, 48))
    mask = Image.new("L", (64, 48), 255)
    mask.paste(0, (10, 12, 40, 36))
    transparent = png(Image.merge("LA", (mask, mask)))
    fields = {"negative_prompt": "red", "guidance_scale": 2, "num_inference_steps": 3, "strength": 0.6, "hold": True}
    fields |= {"prompt": WORDS, "seed": 5, "sign": "hash", "flow_shift": 2.5, "solver": "unipc", "size": "64x32"}
    files = {"image": source, "mask": transparent}
    answer = http.post(f"{url}/v1/images/edits", data=fields, files=files).json()
    blob = base64.b64decode(answer["data"][0]["b64_json"])
    [turn] = read(blob, "image/png").turns
    assert turn.ai == "compositeWithTrainedAlgorithmicMedia"
    assert WORDS not in json.dumps(dict(turn.record)) and WORDS.encode() not in blob
    (tmp_path / "mask.png").write_bytes(transparent)
    more = {"mask": str(tmp_path / "mask.png"), "instruction": WORDS, "negative": "red"}
    again(tmp_path, blob, source, **more)
    assert "equal to the bit" in capsys.readouterr().out
    for wrong, name in (({"instruction": "make it red"}, "instruction"), ({"negative": "blue"}, "instruction")):
        with pytest.raises(ValueError, match=name):
            again(tmp_path, blob, source, **more | wrong)
    with pytest.raises(ValueError, match="mask="):
        again(tmp_path, blob, source, instruction=WORDS, negative="red")


def test_turns_are_one_history_by_file_id(url):
    first = http.post(f"{url}/v1/images/edits", data={"prompt": WORDS, "sign": "text"}, files={"image": photo()}).json()
    more = {"prompt": "make it red", "sign": "text", "file_id": first["data"][0]["id"], "preserve": "auto"}
    answer = http.post(f"{url}/v1/images/edits", files={k: (None, v) for k, v in more.items()}).json()
    found = read(base64.b64decode(answer["data"][0]["b64_json"]), "image/png")
    assert [turn.record["instruction"] for turn in found.turns] == ["make it red", WORDS]
    assert found.state == "valid"
    assert {"queue", "model", "encode", "sign"} == set(answer["data"][0]["metrics"]["stage_seconds"])


def test_a_signed_lie_is_found_by_deriving_it_again(url, tmp_path):
    source = photo()
    blob = asked(url, source)
    [turn] = read(blob, "image/png").turns
    bare = png(Image.open(io.BytesIO(blob)).convert("RGB"))
    liar = own_signer(str(tmp_path / "liar.pem"))

    def lie(**fields) -> bytes:
        return signed(bare, "image/png", liar, dict(turn.record) | fields, source=source, region="all")

    again(tmp_path, lie(), source)
    with pytest.raises(ValueError, match="pixels differ"):
        again(tmp_path, lie(seed=4), source)
    with pytest.raises(ValueError, match="weights"):
        again(tmp_path, lie(weights_sha256="0" * 64), source)
    with pytest.raises(ValueError, match="source"):
        again(tmp_path, lie(), photo(seed=1))
    (tmp_path / "roots.pem").write_bytes(own_signer(str(tmp_path / "other.pem")).chain_pem)
    with pytest.raises(ValueError, match="trust"):
        again(tmp_path, lie(), source, trust=str(tmp_path / "roots.pem"))


@pytest.mark.parametrize(
    "lie",
    [
        {"seed": "x"},
        {"settings": {"steps": 10**9}},
        {"settings": {"frames": 1001}},
        {"settings": {"guidance": float("inf")}},
        {"settings": 3},
        {"settings": None},
        {"width": 10**9},
        {"height": 0},
        {"form": "exe"},
        {"words_sha256": None},
        {"threads": "many"},
    ],
)
def test_records_that_mean_nothing_are_refused(lie):
    assert record_of(RIGHT).settings.steps == 8
    with pytest.raises(ValueError, match="record"):
        record_of(RIGHT | lie)


def test_results_are_bare_unless_asked(url):
    blob = asked(url, photo(), sign="off")
    assert read(blob, "image/png").state == "none"
    assert read(asked(url, photo(), output_format="jpeg"), "image/jpeg").state == "valid"


def test_a_sources_place_is_not_in_the_result(url):
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6  # turned
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.5)  # GPS
    exif[0x010F] = "CAMERA-OF-ANN"
    picture(0, (48, 32)).save(file, "JPEG", exif=exif)
    made = asked(url, file.getvalue())
    image = Image.open(io.BytesIO(made))
    assert image.size == (32, 48) and not image.getexif() and b"CAMERA-OF-ANN" not in made


def test_a_clip_is_signed(url):
    blob = asked(url, photo(), output="clip", clip_format="mp4")
    assert read(blob, "video/mp4").state == "valid"


@pytest.mark.slow
def test_the_record_has_the_hash_of_a_gguf_file_and_its_edit_is_derived_again(random_family, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = str(random_family / "tiny-wan-i2v")
    weights = load_dit(model, torch.float32).state_dict()
    file, other = (write_gguf(tmp_path / f"{kind}.gguf", weights, kind) for kind in ("Q8_0", "Q4_0"))
    source, made = photo((32, 32)), []
    settings = Settings(model=model, gguf=file, state=str(tmp_path), steps=1, sign="text", **SMALL)
    with served(settings, EditEngine(settings)) as url:
        made.append(asked(url, source))
    (tmp_path / "in.png").write_bytes(source)
    more = {"model": model, "gguf": file, "sign": "text", "steps": 1, "size": "32x32", "threads": 1}
    edit.run(EditOptions(image="in.png", instruction=WORDS, out="made.png", seed=3, **more))
    made.append((tmp_path / "made.png").read_bytes())
    for blob in made:
        again(tmp_path, blob, source, model=model, gguf=file)
        with pytest.raises(ValueError, match=r"gguf=Q8_0\.gguf: give gguf="):
            again(tmp_path, blob, source, model=model)
        with pytest.raises(ValueError, match="model: its weights are"):
            again(tmp_path, blob, source, model=model, gguf=other)


def test_a_signer_that_cannot_sign_stops_the_server(tmp_path):
    (tmp_path / "bad.pem").write_text("hello")
    for signer in (tmp_path / "bad.pem", tmp_path / "none.pem"):
        with pytest.raises(ValueError, match=r"settings\.signer: .*\.pem"):
            check(Settings(sign="hash", signer=str(signer), state=str(tmp_path)))
    check(Settings(sign="hash", state=str(tmp_path)))
    assert np.asarray(sorted(path.name for path in tmp_path.iterdir())).tolist() == ["bad.pem", "signer.pem"]


def test_a_server_without_the_package_says_so(url, monkeypatch):
    monkeypatch.setattr("v4e.files.credentials.installed", lambda: False)
    data = {"prompt": WORDS, "sign": "hash"}
    answer = http.post(f"{url}/v1/images/edits", data=data, files={"image": photo()})
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "sign"
    with pytest.raises(ValueError, match="sign"):
        check(Settings(sign="hash"))
