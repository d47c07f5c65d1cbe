"""What strangers send, who may ask, what may be reached, and what is kept of it all."""

import asyncio
import base64
import io
import ipaddress
import re
import select
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import aiohttp
import httpx
import openai
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from ray.serve import scripts

from benchmarks.serving.fuzz import FORMATS, generate, send_files, summary_of
from benchmarks.support.resident import clear_peak, resident_mib
from benchmarks.support.served import SMALL, http, opened, picture, png, served
from serve import pictures, webhook
from serve.app import WrongSetting, build
from serve.errors import ApiError
from serve.ingress import check_host
from serve.keys import digest
from serve.outside import fetch, is_inside, session
from serve.settings import Settings, settings_from
from serve.startup import check
from tests.support.gguf_files import write_gguf
from tests.support.wait import until
from v4e.files.results import encode
from v4e.weights.load import load_dit

ROOT = Path(__file__).resolve().parent.parent.parent
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
KEY, OTHER = "v4e-" + "k" * 43, "v4e-" + "o" * 43


@pytest.fixture(scope="module")
def settings(random_family, tmp_path_factory):
    model, state = str(random_family / "tiny-wan-i2v"), str(tmp_path_factory.mktemp("state"))
    return Settings(model=model, state=state, upload_mib=1.0, steps=1, max_steps=2, max_frames=9, **SMALL)


@pytest.mark.slow
@pytest.mark.parametrize(("quick", "count"), [(True, 160), pytest.param(False, 220, marks=pytest.mark.long)])
def test_hostile_files_break_nothing(url, quick, count):
    clear_peak()
    before = resident_mib("VmHWM")
    rows = send_files(url, quick)
    assert len({(row["file"], row["as"] == "body") for row in rows}) >= count
    assert [row for row in rows if row["wrong"]] == []
    assert {200, 400, 404, 413, 415} == {row["status"] for row in rows}  # harmless ones are among them
    assert resident_mib("VmHWM") - before < 128  # some of them would unpack to gigabytes
    assert http.get(f"{url}/readyz").status_code == 200


@pytest.mark.long
@pytest.mark.slow
def test_generated_requests_break_nothing(url):
    pytest.importorskip("schemathesis")
    counted = summary_of(generate(url, 30))
    assert counted["cases"] >= 20 and counted["server_errors"] == 0
    assert counted["edit_cases_made"] >= 0.2  # they reach the model


@pytest.mark.parametrize("form", FORMATS)
def test_decoding_is_by_bytes_and_keeps_pixels_only(form, tmp_path):
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "where I live", 6
    picture(0, (40, 20)).save(tmp_path / "a", form, exif=exif.tobytes())
    image = pictures.decode((tmp_path / "a").read_bytes(), "image", 10**6)
    assert image.size == ((20, 40) if form != "GIF" else (40, 20))  # turned as EXIF says
    for out in ("png", "jpeg", "webp"):
        made = encode(image, out, 90)
        assert b"where I live" not in made and b"Exif" not in made
        assert not opened(made).getexif()


def commented(form: str, **more: str) -> bytes:
    """A picture that says more than its pixels."""
    file, said = io.BytesIO(), PngInfo()
    for key, text in more.items():
        said.add_text(key, text)
    options = {"pnginfo": said} if form == "PNG" else {"comment": b"where I live"}
    picture(0).save(file, form, **options)
    return file.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize(
    "source", [commented("JPEG"), commented("GIF"), commented("PNG", disposal="x", duration="y", loop="z")]
)
@pytest.mark.parametrize("form", ["gif", "webp"])
def test_a_clip_is_pixels_only_too(url, source, form):
    hole = picture(1).convert("RGBA")
    hole.putalpha(0)
    files = {"image": source, "mask": png(hole)}
    form = {"prompt": "x", "output": "clip", "clip_format": form}
    answer = http.post(f"{url}/v1/images/edits", files=files, data=form)
    assert answer.status_code == 200, answer.text
    assert b"where I live" not in base64.b64decode(answer.json()["data"][0]["b64_json"])


def test_a_size_is_refused_before_there_is_a_picture_of_it(url):
    clear_peak()
    before = resident_mib("VmHWM")
    form = {"prompt": "x", "size": "99984x99984"}
    answer = http.post(f"{url}/v1/images/edits", files={"image": png(picture(0, (1, 1)))}, data=form)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "size")
    assert resident_mib("VmHWM") - before < 64


@pytest.mark.slow
def test_bodies_are_bounded_together(settings, engine, tmp_path, caplog):
    """Each of them may be of a mebibyte, and no more than three at once."""
    narrow = replace(settings, waiting=1, state=str(tmp_path))
    head = b"POST /v1/images/edits HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    head += b"content-length: 1000000\r\n\r\n"
    with served(narrow, engine) as url, ExitStack() as stack:
        port = int(url.rsplit(":", 1)[1])
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(4)]
        for connection in slow:  # they send nearly all and then wait
            connection.sendall(head + bytes(900_000))
        readable, _, _ = select.select(slow, [], [], 30)
        assert 0 < len(readable) < 4  # whoever comes to the bound is refused, which makes room
        assert all(connection.recv(100).startswith(b"HTTP/1.1 503") for connection in readable)
        for connection in slow:
            connection.close()
        edit, form = f"{url}/v1/images/edits", {"prompt": "x"}
        until(lambda: http.post(edit, files={"image": png()}, data=form).status_code == 200, 60)  # there is room again
    assert "crashed" not in caplog.text  # to leave is no crash


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"host": "evil.example"}, "forbidden_host"),  # a name of theirs that leads to this machine
        ({"host": "10.0.0.7:80"}, "forbidden_host"),
        ({"host": ""}, "forbidden_host"),
        ({"host": "[::1"}, "forbidden_host"),
        ({"origin": "http://["}, "forbidden_origin"),
        ({"origin": "https://evil.example"}, "forbidden_origin"),
        ({"origin": "http://localhost:1"}, "forbidden_origin"),
        ({"origin": "null"}, "forbidden_origin"),
    ],
)
def test_other_sites_pages_may_not_ask_where_there_are_no_keys(url, engine, headers, code):
    before = engine._steps
    answer = http.post(f"{url}/v1/images/edits", files={"image": png()}, data={"prompt": "x"}, headers=headers)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["code"]) == (403, "permission_error", code)
    assert engine._steps == before


def test_its_own_page_may(url):
    port = url.rsplit(":", 1)[1]
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}"):
        headers = {"host": host, "origin": f"http://{host}"}
        assert http.get(f"{url}/v1/models", headers=headers).status_code == 200


def test_with_keys_any_name_may_lead_here(settings, engine, tmp_path):
    with served(replace(settings, keys=f"ann:{digest(KEY)}", state=str(tmp_path)), engine) as url:
        headers = {"host": "edit.example", "authorization": f"Bearer {KEY}"}
        assert http.get(f"{url}/v1/models", headers=headers).status_code == 200
        assert http.get(f"{url}/v1/models", headers={"host": "edit.example"}).status_code == 401


def test_a_lossless_result_is_the_pixels():
    image = picture(5)
    for form in ("png", "webp"):
        assert opened(encode(image, form, 100)).tobytes() == image.tobytes()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_is_cut_off_at_its_limit(url, chunked):
    body = (bytes(1 << 16) for _ in range(1 << 12)) if chunked else bytes(2 << 20)
    with httpx.Client() as client:
        try:
            answer = client.post(f"{url}/v1/images/edits", content=body, headers={"content-type": "application/json"})
        except httpx.WriteError:  # it was closed on us as we went on sending
            return
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")


@pytest.mark.slow
def test_keys_are_needed_limited_and_never_kept(settings, engine, tmp_path, capfd):
    made = subprocess.run([sys.executable, "-m", "serve.keys", "ann"], capture_output=True, text=True, check=True)
    key = made.stderr.split()[-1]
    assert made.stdout == f"ann:{digest(key)}\n" and key not in made.stdout
    file = tmp_path / "keys.txt"
    file.write_text(f"# ours\n{made.stdout}bob:{digest(OTHER)}:2/hour:1\n")
    limited = replace(settings, keys_file=str(file), state=str(tmp_path))
    with served(limited, engine) as url:
        for wrong, code in ((None, "missing_api_key"), (f"Bearer {KEY}", "invalid_api_key")):
            answer = http.get(f"{url}/v1/models", headers={"authorization": wrong} if wrong else {})
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, code)
        with pytest.raises(openai.AuthenticationError) as caught:
            openai.OpenAI(base_url=f"{url}/v1", api_key=KEY).images.edit(image=png(), prompt="x")
        assert (caught.value.code, caught.value.type) == ("invalid_api_key", "authentication_error")
        assert http.get(f"{url}/metrics").status_code == 401
        assert http.get(f"{url}/healthz").status_code == 200
        ann = openai.OpenAI(base_url=f"{url}/v1", api_key=key)
        assert [model.id for model in ann.models.list()] == ["v4e"]
        bob = openai.OpenAI(base_url=f"{url}/v1", api_key=OTHER, max_retries=0)
        bob.models.list()
        bob.models.list()
        with pytest.raises(openai.RateLimitError) as limited_by:
            bob.models.list()
        assert (limited_by.value.code, limited_by.value.type) == ("rate_limit_exceeded", "rate_limit_error")
        assert 0 < int(limited_by.value.response.headers["retry-after-ms"]) <= 3_600_000
        assert len(list(ann.models.list())) == 1  # bob's limit is his own
        job = http.post(
            f"{url}/v1/edits/jobs",
            files={"image": png()},
            data={"prompt": "x"},
            headers={"authorization": f"Bearer {key}"},
        ).json()
        for who, status in ((key, 200), (OTHER, 429)):
            path = f"{url}/v1/edits/jobs/{job['id']}"
            assert http.get(path, headers={"authorization": f"Bearer {who}"}).status_code == status
        text = http.get(f"{url}/metrics", headers={"authorization": f"Bearer {key}"}).text
    printed = "".join(capfd.readouterr())
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for secret in (key, OTHER, KEY):
        assert secret not in printed and secret not in text and secret.encode() not in kept


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "myhost"])
def test_it_is_not_open_to_others_without_keys(host):
    with pytest.raises(ValueError, match="no API keys: set keys_file"):
        check_host(host, keys=False)
    check_host(host, keys=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_this_machine_may_ask_without(host):
    check_host(host, keys=False)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "[::1]", "169.254.169.254", "10.0.0.1", "[::ffff:127.0.0.1]", "0.0.0.0", "localhost", "2130706433"],
)
def test_addresses_inside_are_not_reached(url, address):
    port = url.rsplit(":", 1)[1]

    async def reach(how):
        async with session(how) as client, client.get(f"http://{address}:{port}/healthz") as answer:
            return answer.status

    with pytest.raises((aiohttp.ClientError, ValueError)):
        asyncio.run(reach("public"))
    if address == "127.0.0.1":
        assert asyncio.run(reach("any")) == 200


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        *((address, True) for address in ("64:ff9b::a00:1", "64:ff9b:1::1", "fec0::1", "2002:7f00:1::", "::10.0.0.1")),
        *((address, True) for address in ("fe80::1", "fd00::1", "::ffff:10.0.0.1", "100.64.0.1", "192.168.0.1")),
        *((address, False) for address in ("1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1")),
    ],
)
def test_addresses_that_lead_inside_by_another_name_are_known(address, inside):
    assert is_inside(ipaddress.ip_address(address)) is inside


class Inside(ThreadingHTTPServer):
    """A picture that only this machine may see, at / and, by a redirect, at /moved."""

    def __init__(self):
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        self.send_response(302 if self.path == "/moved" else 200)
        self.send_header("location", "/")
        self.end_headers()
        self.wfile.write(png())

    do_POST = do_GET

    def log_message(self, *_args):
        pass


@pytest.fixture
def inside():
    with Inside() as server:
        yield server
        server.shutdown()


def test_redirects_are_not_followed(inside):
    base = f"http://127.0.0.1:{inside.server_port}"
    assert asyncio.run(fetch(f"{base}/", "image", "any", 10**6)) == png()
    with pytest.raises(ApiError) as caught:
        asyncio.run(fetch(f"{base}/moved", "image", "any", 10**6))
    assert (caught.value.code, inside.asked) == ("invalid_image_url", ["/", "/moved"])


def test_more_than_may_be_fetched_is_not(inside):
    with pytest.raises(ApiError) as caught:
        asyncio.run(fetch(f"http://127.0.0.1:{inside.server_port}/", "image", "any", 100))
    assert caught.value.status == 413


def test_a_name_that_changes_its_mind_gains_nothing(inside, monkeypatch):
    """Public when it is looked up first, this machine when it is connected to."""
    answers = iter(["1.1.1.1"])

    def getaddrinfo(_host, port, *_args, **_more):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers, "127.0.0.1"), port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    address = f"http://two.faced.example:{inside.server_port}/"
    assert socket.getaddrinfo("two.faced.example", 80)[0][4][0] == "1.1.1.1"
    with pytest.raises(ApiError) as caught:
        asyncio.run(fetch(address, "image", "public", 10**6))
    assert (caught.value.code, inside.asked) == ("invalid_image_url", [])
    assert asyncio.run(fetch(address, "image", "any", 10**6)) == png()  # it is the address that was refused


def test_webhooks_reach_nothing_inside(inside, monkeypatch):
    monkeypatch.setattr(webhook, "PAUSES_S", (0.0,))
    for reach, told in (("public", False), ("any", False)):  # the second is redirected, which is no yes
        event = {"type": "edit.job.succeeded", "data": {"id": "job_0"}}
        settings = Settings(webhooks=reach, webhook_secret=SECRET)  # type: ignore[arg-type]
        address = f"http://127.0.0.1:{inside.server_port}/moved"
        assert asyncio.run(webhook.tell(address, event, settings)) is told
    assert inside.asked == ["/moved", "/moved"]


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://a.example/", "http://user:secret@a.example/", "//x", "", "http://"]
)
def test_other_schemes_are_refused(target):
    with pytest.raises(ApiError) as caught:
        asyncio.run(fetch(target, "image", "public", 100))
    assert caught.value.status == 400 and "secret" not in caught.value.message


def test_urls_where_they_are_on(settings, engine, url, tmp_path):
    mine = http.post(f"{url}/v1/images/edits", files={"image": png()}, data={"prompt": "x", "response_format": "url"})
    address = mine.json()["data"][0]["url"]
    with served(replace(settings, urls="any", state=str(tmp_path)), engine) as other:
        form = {"prompt": "x", "url": address}
        assert http.post(f"{other}/v1/images/edits", files={"none": ""}, data=form).status_code == 400
        body = {"prompt": "x", "images": [{"image_url": address}]}
        assert http.post(f"{other}/v1/images/edits", json=body).status_code == 200
        body["images"][0]["image_url"] = f"{url}/healthz"
        assert http.post(f"{other}/v1/images/edits", json=body).json()["error"]["code"] == "invalid_image"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"step": 8}, "unknown setting step: expected among"),
        ({"steps": "many"}, "settings.steps='many'"),
        ({"frames": 6}, "set settings.frames=5"),
        ({"replicas": 3}, "max_replicas=1 is below replicas=3"),
        ({"warm": "big"}, "settings.warm: 'big' is no size"),
        ({"rate": "often"}, "expected a rate such as 60/minute"),
        ({"webhooks": "public"}, "needs settings.webhook_secret"),
        ({"webhooks": "public", "webhook_secret": "whsec_c2hvcnQ="}, "at least 24 random bytes"),
        ({"webhooks": "public", "webhook_secret": "whsec_" + "!" * 40}, "at least 24 random bytes"),
        ({"loras": "x"}, "expected name=file"),
        ({"urls": "all"}, "settings.urls='all'"),
        ({"step_cache": 2}, r"settings\.step_cache=2\.0: expected a share"),
    ],
)
def test_wrong_settings_are_named_early(args, words):
    with pytest.raises(ValueError, match=words):
        settings_from(args, {})


def test_settings_of_the_environment_give_way_to_arguments():
    environ = {"V4E_SERVE_STEPS": "4", "V4E_SERVE_WAITING": "7", "HOME": "/"}
    made = settings_from({"steps": "5"}, environ)
    assert (made.steps, made.waiting) == (5, 7)
    with pytest.raises(ValueError, match="V4E_SERVE_STEP"):
        settings_from({}, {"V4E_SERVE_STEP": "1"})


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"model": "/nowhere"}, "settings.model: /nowhere is no"),
        ({"loras": "red=/nowhere/red.safetensors"}, "settings.loras: red=/nowhere/red.safetensors"),
        ({"loras": f"red={__file__}"}, "expected a .safetensors file"),
        ({"attention": "fast"}, "settings.attention=fast: expected one of"),
        ({"attention": "flash"}, "set dtype=bfloat16"),
        ({"keys_file": "/nowhere"}, "settings.keys_file=/nowhere: No such file"),
        ({"keys": KEY}, "no name:sha256"),
        ({"keys": " , "}, "settings.keys: there is no key in it"),
        ({"keys_file": "/dev/null"}, "settings.keys_file=/dev/null: there is no key in it"),
        ({"weights": "int8"}, "settings.weights=int8 needs a CUDA GPU: set gpus=1"),
        ({"keys": f"ann:{'0' * 64}:often"}, "the key of ann: expected name:sha256:rate:edits"),
        ({"keys": f"ann:{'0' * 64}::few"}, "the key of ann: expected name:sha256:rate:edits"),
        ({"state": f"{__file__}/state"}, "cannot be written to"),
    ],
)
def test_what_would_fail_in_a_replica_is_refused_before(args, words):
    with pytest.raises(WrongSetting, match=re.escape(words)) as caught:
        build(args)
    assert "\n" not in caught.value.message and KEY not in caught.value.message


def test_a_gguf_file_that_a_replica_could_not_load_is_refused_before(random_family, tmp_path):
    model, state = str(random_family / "tiny-wan-i2v"), str(tmp_path / "state")
    weights = load_dit(model, torch.float32).state_dict()
    file = write_gguf(tmp_path / "dit.gguf", weights)
    other = write_gguf(tmp_path / "other.gguf", weights | {"blocks.99.ffn.net.2.bias": torch.zeros(1)})
    (lora := tmp_path / "red.safetensors").touch()
    right = {"model": model, "gguf": file, "state": state}
    check(settings_from(right, {}))
    for wrong, words in (
        ({"gguf": "/nowhere/dit.gguf"}, "settings.gguf=/nowhere/dit.gguf: no such file"),
        ({"gguf": __file__}, "does not end in .gguf"),
        ({"gguf": other}, "'blocks.99.ffn.net.2.bias'"),
        ({"model": ""}, "give model="),
        ({"loras": f"red={lora}"}, "no LoRA"),
        ({"away": "blocks"}, "settings.away=blocks"),
        ({"away": "blocks", "gguf": "", "compile": "true"}, "settings.away=blocks"),
    ):
        with pytest.raises(WrongSetting, match=re.escape(words)) as caught:
            build(right | wrong)
        assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("command", "environ"),
    [(["serve.app:build", "replicas=2"], {}), (["serve.app:app"], {"V4E_SERVE_REPLICAS": "2"})],
)
def test_the_command_line_says_it_in_one_line(command, environ, monkeypatch):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    ran = CliRunner().invoke(scripts.run, [*command, "--app-dir", str(ROOT)])
    said = "Error: settings.max_replicas=1 is below replicas=2: set max_replicas higher"
    assert ran.exit_code == 1 and said in ran.output.splitlines() and "Traceback" not in ran.output
