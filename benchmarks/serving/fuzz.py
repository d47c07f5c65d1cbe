"""Hostile requests: generated from our OpenAPI description, and files made to break decoders.

``python -m benchmarks.serving.fuzz [cases]`` sends about `cases` generated requests (6,600), and the whole corpus of
files.
"""

import io
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
from PIL import Image

from benchmarks.support.resident import clear_peak, resident_mib
from benchmarks.support.result import write_result
from benchmarks.support.served import SMALL, picture, served
from serve.engine import EditEngine
from serve.settings import Settings

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
EDITS = ("POST /v1/images/edits", "POST /v1/edits/jobs")


def _file(form: str, size=(32, 32), **options) -> bytes:
    file = io.BytesIO()
    picture(0, size).save(file, form, **options)
    return file.getvalue()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, data: bytes, *chunks: bytes, depth: int = 8, color: int = 2) -> bytes:
    return _png_of(width, height, zlib.compress(data), *chunks, depth=depth, color=color)


def _png_of(width: int, height: int, packed: bytes, *chunks: bytes, depth: int = 8, color: int = 2) -> bytes:
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    body = b"".join(chunks) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + body


def _png_of_zeros(side: int) -> bytes:
    """Returns a complete RGB picture without ever holding its pixels in memory."""
    packer, row = zlib.compressobj(), bytes(1 + 3 * side)
    return _png_of(side, side, b"".join(packer.compress(row) for _ in range(side)) + packer.flush())


def hostile(noisy: int = 20) -> Iterator[tuple[str, bytes]]:
    """Yields names and bytes of files, the same every time; `noisy` of each format have bytes changed at random."""
    rng = random.Random(0)
    for form in FORMATS:
        whole = _file(form)
        for part in (1, 4, 8, 16, len(whole) // 2, len(whole) - 1):
            yield f"{form} cut at {part}", whole[:part]
        for number in range(noisy):
            broken = bytearray(whole)
            for _ in range(rng.randint(1, 40)):
                broken[rng.randrange(len(broken))] = rng.randrange(256)
            yield f"{form} with noise {number}", bytes(broken)
        yield f"{form} and a page behind it", whole + b"<script>alert(1)</script>" * 100
        yield f"{form} behind zeros", bytes(64) + whole
    for side in (30_000, 100_000, 2**31 - 1, 2**32 - 1):
        yield f"PNG that says {side} x {side}", _png(side, side, bytes(100))
    yield "PNG of no pixels", _png(0, 0, b"")
    yield "PNG of 9,000 x 9,000, which Pillow would unpack to 232 MiB", _png_of_zeros(9_000)
    yield "PNG, a bomb of 20,000 x 20,000", _png(20_000, 20_000, bytes(20_000 * 4_000))
    yield (
        "PNG with text that unpacks to 64 MiB",
        _png(32, 32, bytes(97 * 32), _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(64 << 20)))),
    )
    yield (
        "PNG with a colour profile that unpacks to 64 MiB",
        _png(32, 32, bytes(97 * 32), _chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(64 << 20)))),
    )
    for word in ("transparency", "gamma", "dpi", "disposal"):
        text = _chunk(b"tEXt", word.encode() + b"\0x")
        yield f"PNG whose text is called {word}", _png(32, 32, bytes(97 * 32), text)
        yield f"grey PNG whose text is called {word}", _png(32, 32, bytes(33 * 32), text, color=0)
    yield "PNG with 2,000 chunks", _png(32, 32, bytes(97 * 32), *[_chunk(b"tEXt", b"a\0b")] * 2000)
    for depth, color in ((16, 0), (16, 2), (16, 6), (1, 0), (8, 3), (8, 4), (3, 7)):
        yield f"PNG of depth {depth}, colour {color}", _png(8, 8, bytes(600), depth=depth, color=color)
    for name in ("GIF", "WEBP", "PNG"):
        frames = [picture(k) for k in range(30)]
        file = io.BytesIO()
        frames[0].save(file, name, save_all=True, append_images=frames[1:])
        yield f"{name} of 30 frames", file.getvalue()
    yield "GIF that says 65,535 x 65,535", b"GIF89a" + struct.pack("<HH", 65535, 65535) + bytes(20)
    for form in ("BMP", "TIFF", "ICO", "PPM", "TGA", "PDF", "EPS"):
        yield f"a {form}", _file(form)
    yield "SVG", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    yield "XML bomb", b'<!DOCTYPE a [<!ENTITY b "cc"><!ENTITY d "&b;&b;">]><svg>&d;</svg>'
    yield "PostScript", b"%!PS\n(/etc/passwd) (r) file 100 string readstring pop print\n"
    yield "a pickle", b"cposix\nsystem\n(S'true'\ntR."
    yield "a zip", b"PK\x03\x04" + bytes(100)
    yield "HTML", b"<html><script>fetch('http://127.0.0.1')</script></html>"
    yield "nothing", b""
    for size in (1, 100, 100_000):
        yield f"{size} random bytes", rng.randbytes(size)
    for number in range(10):
        orientation = Image.Exif()
        orientation[0x0112] = number
        yield f"JPEG turned by {number}", _file("JPEG", exif=orientation)
    yield "JPEG with broken EXIF", _file("JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    file = io.BytesIO()
    Image.new("CMYK", (32, 32)).save(file, "JPEG")
    yield "JPEG in CMYK", file.getvalue()
    yield "PNG of 1 x 4,000", _file("PNG", (1, 4000))
    yield "PNG of 4,000 x 1", _file("PNG", (4000, 1))


def wrong(answer: httpx.Response) -> str:
    """Returns the fault of an answer to one of them; "" if there is none."""
    if answer.status_code == 200:
        return "" if answer.json()["data"][0]["b64_json"] else "no picture"
    if answer.status_code >= 500:
        return f"status {answer.status_code}"
    error = answer.json().get("error")
    if not isinstance(error, dict) or set(error) != {"message", "type", "param", "code"}:
        return f"envelope {answer.text[:200]}"
    return "" if error["code"] and error["message"] and error["type"] == "invalid_request_error" else f"error {error}"


def bodies() -> Iterator[tuple[str, dict[str, str], bytes]]:
    """Yields names, headers and bytes of whole requests that no client would send."""
    line, end = b"\r\n", b"--b--\r\n"

    def part(disposition: str, data: bytes, *more: str) -> bytes:
        head = [f"Content-Disposition: form-data{disposition}", *more]
        return b"--b" + line + "\r\n".join(head).encode("utf-8", "surrogateescape") + line + line + data + line

    form = {"content-type": "multipart/form-data; boundary=b"}
    prompt, image = part('; name="prompt"', b"x"), part('; name="image"; filename="a.png"', _file("PNG"))
    steps = part('; name="num_inference_steps"', b"1")
    whole = prompt + image + steps
    yield "no boundary", {"content-type": "multipart/form-data"}, whole + end
    yield "another boundary", {"content-type": "multipart/form-data; boundary=c"}, whole + end
    yield "an endless boundary", {"content-type": "multipart/form-data; boundary=" + "b" * 5000}, whole + end
    yield "never closed", form, whole
    yield "cut in a header", form, whole[:40]
    yield "empty", form, b""
    yield "only its end", form, end
    yield "text before and after", form, b"before" + line + whole + end + b"after"
    names = (
        "../../etc/passwd",
        "/etc/passwd",
        "C:\\\\windows\\\\win.ini",
        "a\x01b",
        "a%00.png",
        "x" * 3000,
        "",
        "\udcff",
        "é.png",
    )
    for name in names:
        yield (
            f"a file called {name[:20]!a}",
            form,
            (prompt + part(f'; name="image"; filename="{name}"', _file("PNG")) + steps + end),
        )
    for kind in (
        "text/html",
        "image/svg+xml",
        "application/x-python-pickle",
        "nonsense",
        "multipart/mixed; boundary=b",
    ):
        yield (
            f"a picture that says it is {kind}",
            form,
            (prompt + part('; name="image"; filename="a"', _file("PNG"), f"Content-Type: {kind}") + steps + end),
        )
    yield (
        "a picture that says it is base64",
        form,
        (
            prompt
            + part('; name="image"; filename="a"', _file("PNG"), "Content-Transfer-Encoding: base64")
            + steps
            + end
        ),
    )
    yield "a picture as text", form, prompt + part('; name="image"', b"\x89PNG") + end
    yield "a prompt as a file", form, part('; name="prompt"; filename="p"', b"x") + image + end
    yield "a part without a name", form, whole + part("", b"x") + end
    yield "a part with an empty name", form, whole + part('; name=""', b"x") + end
    yield "bytes that are no text", form, part('; name="prompt"', b"\xff\xfe\x00") + image + end
    yield "a prompt of NULs", form, part('; name="prompt"', bytes(100)) + image + steps + end
    yield "a name of JavaScript", form, whole + part('; name="__proto__"', b"x") + end
    yield "17 pictures", form, prompt + image * 17 + end
    yield "two pictures", form, prompt + image * 2 + end
    yield "200 pictures", form, prompt + image * 200 + end
    yield "1,000 fields", form, whole + b"".join(part(f'; name="f{k}"', b"x") for k in range(1000)) + end
    yield "a field of 1.2 MB", form, image + part('; name="prompt"', b"x" * 1_200_000) + end
    yield "a header of 100 kB", form, whole + part('; name="x"', b"x", "X: " + "y" * 100_000) + end
    yield "1,000 headers in a part", form, whole + part('; name="x"', b"x", *(f"X{k}: y" for k in range(1000))) + end
    yield "the prompt twice", form, prompt * 2 + image + end
    yield "numbers that are none", form, prompt + image + part('; name="n"', b"1e999") + end
    yield "n of 10^30", form, prompt + image + part('; name="n"', b"1" + b"0" * 30) + end
    plain = {"content-type": "application/json"}
    data = "data:image/png;base64,"
    for name, body in {
        "nothing": b"",
        "no object": b"[1]",
        "half of one": b'{"prompt": "x"',
        "100,000 brackets": b"[" * 100_000,
        "NaN": b'{"prompt": "x", "guidance_scale": NaN}',
        "a number of 10,000 digits": b'{"prompt": "x", "seed": ' + b"9" * 10_000 + b"}",
        "UTF-16": '{"prompt": "x"}'.encode("utf-16"),
        "a byte order mark": b"\xef\xbb\xbf" + b'{"prompt": "x"}',
        "half a surrogate": b'{"prompt": "\\ud800", "images": [{"image_url": "data:image/png;base64,"}]}',
        "no list of images": b'{"prompt": "x", "images": {"0": 1}}',
        "a thousand images": json.dumps({"prompt": "x", "images": [{"image_url": data}] * 1000}).encode(),
        "both kinds of source": b'{"prompt": "x", "images": [{"image_url": "data:,", "file_id": "img_0"}]}',
        "neither": b'{"prompt": "x", "images": [{}]}',
        "data that is no base64": json.dumps({"prompt": "x", "images": [{"image_url": data + "!!!"}]}).encode(),
        "data without a comma": b'{"prompt": "x", "images": [{"image_url": "data:image/png;base64"}]}',
        "a file": b'{"prompt": "x", "images": [{"image_url": "file:///etc/passwd"}]}',
        "an address inside": b'{"prompt": "x", "images": [{"image_url": "http://169.254.169.254/latest/meta-data"}]}',
        "a path as an id": b'{"prompt": "x", "images": [{"file_id": "../../etc/passwd"}]}',
    }.items():
        yield f"JSON: {name}", plain, body
    yield "JSON that says it is a form", form, b'{"prompt": "x"}'
    yield "a form that says it is JSON", plain, whole + end
    yield "no content type", {}, whole + end
    yield "XML", {"content-type": "application/xml"}, b"<a/>"
    yield "a form of a browser", {"content-type": "application/x-www-form-urlencoded"}, b"prompt=x"
    yield "bytes said to be packed", plain | {"content-encoding": "gzip"}, b'{"prompt": "x"}'


def send_files(url: str, quick: bool = False) -> list[dict]:
    """One row of each file, how it was answered as image and as mask, and of each odd body.

    With `quick` two files of each format have noise, and a file is sent as image or as mask, in turns.
    """
    rows, form, path = [], {"prompt": "x", "num_inference_steps": "1"}, f"{url}/v1/images/edits"
    with httpx.Client(timeout=120) as client:
        for number, (name, blob) in enumerate(hostile(2) if quick else hostile()):
            ways = (
                ("image", {"image": ("a.png", blob)}),
                ("mask", {"image": ("a.png", _file("PNG")), "mask": ("m.png", blob)}),
            )
            for field, files in ways[number % 2 :][:1] if quick else ways:
                answer = client.post(path, files=files, data=form)
                rows.append({"file": name, "as": field, "status": answer.status_code, "wrong": wrong(answer)})
        for name, headers, body in bodies():
            answer = client.post(path, content=body, headers=headers)
            rows.append({"file": name, "as": "body", "status": answer.status_code, "wrong": wrong(answer)})
    return rows


def known(url: str) -> dict[str, list[str]]:
    """Ids that exist: results, and jobs that are done."""
    made: dict[str, list[str]] = {"result_id": [], "job_id": [], "model_id": ["v4e"]}
    form = {"prompt": "x", "num_inference_steps": "1"}
    for _ in range(4):
        answer = httpx.post(f"{url}/v1/images/edits", files={"image": _file("PNG")}, data=form, timeout=120)
        made["result_id"].append(answer.json()["data"][0]["id"])
        answer = httpx.post(f"{url}/v1/edits/jobs", files={"image": _file("PNG")}, data=form, timeout=120)
        made["job_id"].append(answer.json()["id"])
    return made


def generate(url: str, cases: int, seed: int = 0) -> Counter[tuple[str, int]]:
    """Counts of (operation, status) of about `cases` requests that schemathesis makes from /openapi.json: half of them
    keep to the description, half do not.

    Raises:
        RuntimeError: schemathesis did not come to its end.
    """
    there = known(url)
    return sum((_generate(url, cases // 2, mode, there, seed) for mode in ("positive", "negative")), Counter())


def _generate(url: str, cases: int, mode: str, there: dict[str, list[str]], seed: int) -> Counter[tuple[str, int]]:
    folder = Path(tempfile.mkdtemp())  # it also keeps a cache where it runs
    report = folder / "fuzz.ndjson"
    # Most are for the two operations that edit; the nine others have little to be wrong about.
    shares = {"POST /v1/images/edits": 0.5, "POST /v1/edits/jobs": 0.3}
    rest = (1 - sum(shares.values())) / 9
    config = [f"generation.max-examples = {max(1, round(rest * cases))}"]
    for name, share in shares.items():
        config += ["[[operations]]", f'include-name = "{name}"']
        config += [f"generation.max-examples = {max(1, round(share * cases))}"]
    (folder / "schemathesis.toml").write_text("\n".join(config))
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json"),
        *("--checks", "not_a_server_error", "--mode", mode, "--phases", "fuzzing", "--seed", str(seed)),
        *("--generation-database", "none", "--continue-on-failure", "--suppress-health-check", "all"),
        *("--request-timeout", "60", "--report-ndjson-path", str(report)),
        *("--include-path-regex", "^/(v1|healthz|readyz)", "--report", "ndjson", "--no-color"),
    ]
    env = os.environ | {
        "V4E_FUZZ": json.dumps(there | {"mode": mode}),
        "SCHEMATHESIS_HOOKS": "benchmarks.support.fuzz_hooks",
        "PYTHONPATH": str(Path(__file__).resolve().parent.parent.parent),
    }
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    # Failed checks are counted from the report; a run that broke off has fewer cases than it should.
    if "Runtime Error" in done.stdout or not report.exists():
        raise RuntimeError(f"schemathesis did not come to its end: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return Counter(answer for line in report.open() for answer in _answers(json.loads(line)))


def _answers(event: dict) -> Iterator[tuple[str, int]]:
    """Yields operation and status of all answers in a line of schemathesis's report."""
    for body in event.values():
        recorder = (body.get("recorder") if isinstance(body, dict) else None) or {}
        for interaction in (recorder.get("interactions") or {}).values():
            if interaction.get("response"):
                yield recorder["label"], interaction["response"]["status_code"]


def summary_of(counted: Counter[tuple[str, int]]) -> dict[str, float]:
    """Returns the counts of cases and of server errors, and the share of requests for an edit that got one."""
    edits = {key: count for key, count in counted.items() if key[0] in EDITS}
    made = sum(count for (_, status), count in edits.items() if status in (200, 202))
    return {
        "cases": counted.total(),
        "server_errors": sum(count for (_, status), count in counted.items() if status >= 500),
        "edit_cases": sum(edits.values()),
        "edit_cases_made": round(made / max(1, sum(edits.values())), 3),
    }


def main() -> None:
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else 6600
    settings = Settings(state=tempfile.mkdtemp(), steps=1, max_steps=2, max_frames=9, upload_mib=2.0, **SMALL)
    engine = EditEngine(settings)
    with served(settings, engine) as url:
        known(url)
        clear_peak()
        before = resident_mib("VmHWM")
        files = send_files(url)
        grown = resident_mib("VmHWM") - before
        counted = generate(url, cases)
        alive = httpx.get(f"{url}/readyz").status_code == 200
    bad = [row for row in files if row["wrong"]]
    rows = [{"operation": name, "status": status, "count": n} for (name, status), n in sorted(counted.items())]
    write_result(
        "fuzz",
        " ".join(["python -m benchmarks.serving.fuzz", *sys.argv[1:]]),
        [*bad, *rows],
        summary_of(counted)
        | {"hostile_uploads": len(files), "crashes": len(bad) + (not alive), "hostile_peak_mib": round(grown, 1)},
    )


if __name__ == "__main__":
    main()
