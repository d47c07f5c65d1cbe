"""Requests that nobody means well by: generated from our OpenAPI description, and files made to break decoders.

``python benchmarks/fuzz.py [cases]`` sends about so many generated requests (6,000), and the whole corpus of files.
"""

import io
import json
import random
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import httpx
import psutil
from PIL import Image

from benchmarks.result import write_result
from benchmarks.served import SMALL, picture, served
from serve.engine import Engine
from serve.settings import Settings

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")


def _file(form: str, size=(32, 32), **options) -> bytes:
    file = io.BytesIO()
    picture(0, size).save(file, form, **options)
    return file.getvalue()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, data: bytes, *chunks: bytes, depth: int = 8, color: int = 2) -> bytes:
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    body = b"".join(chunks) + _chunk(b"IDAT", zlib.compress(data)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + body


def hostile() -> Iterator[tuple[str, bytes]]:
    """Names and bytes of files, the same every time."""
    rng = random.Random(0)
    for form in FORMATS:
        whole = _file(form)
        for part in (1, 4, 8, 16, len(whole) // 2, len(whole) - 1):
            yield f"{form} cut at {part}", whole[:part]
        for number in range(20):
            broken = bytearray(whole)
            for _ in range(rng.randint(1, 40)):
                broken[rng.randrange(len(broken))] = rng.randrange(256)
            yield f"{form} with noise {number}", bytes(broken)
        yield f"{form} and a page behind it", whole + b"<script>alert(1)</script>" * 100
        yield f"{form} behind zeros", bytes(64) + whole
    for side in (30_000, 100_000, 2**31 - 1, 2**32 - 1):
        yield f"PNG that says {side} x {side}", _png(side, side, bytes(100))
    yield "PNG of no pixels", _png(0, 0, b"")
    yield "PNG, a bomb of 20,000 x 20,000", _png(20_000, 20_000, bytes(20_000 * 4_000))
    yield (
        "PNG with text that unpacks to 64 MiB",
        _png(32, 32, bytes(97 * 32), _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(64 << 20)))),
    )
    yield (
        "PNG with a colour profile that unpacks to 64 MiB",
        _png(32, 32, bytes(97 * 32), _chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(64 << 20)))),
    )
    yield "PNG with 2,000 chunks", _png(32, 32, bytes(97 * 32), *[_chunk(b"tEXt", b"a\0b")] * 2000)
    for depth, color in ((16, 0), (16, 2), (16, 6), (1, 0), (8, 3), (8, 4), (3, 7)):
        yield f"PNG of depth {depth}, colour {color}", _png(8, 8, bytes(600), depth=depth, color=color)
    for form, names in {"GIF": ("GIF", "WEBP", "PNG")}.items():
        for name in names:
            frames = [picture(k) for k in range(30)]
            file = io.BytesIO()
            frames[0].save(file, name, save_all=True, append_images=frames[1:])
            yield f"{name} of 30 frames ({form})", file.getvalue()
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
    """What is wrong with an answer to one of them; "" if nothing."""
    if answer.status_code == 200:
        return "" if answer.json()["data"][0]["b64_json"] else "no picture"
    if answer.status_code >= 500:
        return f"status {answer.status_code}"
    error = answer.json().get("error")
    if not isinstance(error, dict) or set(error) != {"message", "type", "param", "code"}:
        return f"envelope {answer.text[:200]}"
    return "" if error["code"] and error["message"] and error["type"] == "invalid_request_error" else f"error {error}"


def send_files(url: str) -> list[dict]:
    """One row of each file: how it was answered, as image and as mask."""
    rows, form = [], {"prompt": "x", "num_inference_steps": "1"}
    with httpx.Client(timeout=120) as client:
        for name, blob in hostile():
            for field, files in (
                ("image", {"image": ("a.png", blob)}),
                ("mask", {"image": ("a.png", _file("PNG")), "mask": ("m.png", blob)}),
            ):
                answer = client.post(f"{url}/v1/images/edits", files=files, data=form)
                rows.append({"file": name, "as": field, "status": answer.status_code, "wrong": wrong(answer)})
    return rows


def generate(url: str, cases: int, seed: int = 0) -> dict[str, int]:
    """About `cases` requests by schemathesis from /openapi.json; how many there were and how many failed the server."""
    folder = Path(tempfile.mkdtemp())  # it also keeps a cache where it runs
    report = folder / "fuzz.ndjson"
    # It is told how many to make of each operation: there are eleven, and those without a body run out early.
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json"),
        *("--checks", "not_a_server_error", "--mode", "all", "--phases", "fuzzing", "--seed", str(seed)),
        *("--max-examples", str(cases // 5), "--generation-database", "none", "--continue-on-failure"),
        *("--suppress-health-check", "all", "--request-timeout", "60", "--report-ndjson-path", str(report)),
        *("--include-path-regex", "^/(v1|healthz|readyz)", "--report", "ndjson", "--no-color"),
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if not report.exists():
        raise RuntimeError(f"schemathesis did not run: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    sent = failed = 0
    for line in report.read_text().splitlines():
        event = json.loads(line)
        for interaction in _interactions(event):
            sent += 1
            failed += interaction >= 500
    return {"cases": sent, "server_errors": failed}


def _interactions(event: dict) -> Iterator[int]:
    """Statuses of all answers in a line of schemathesis's report."""
    for body in event.values():
        recorder = body.get("recorder") if isinstance(body, dict) else None
        for interaction in ((recorder or {}).get("interactions") or {}).values():
            if interaction.get("response"):
                yield interaction["response"]["status_code"]


def main() -> None:
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else 6000
    settings = Settings(state=tempfile.mkdtemp(), steps=1, max_steps=2, upload_mib=2.0, **SMALL)
    engine = Engine(settings)
    with served(settings, engine) as url:
        rss = psutil.Process().memory_info().rss
        files = send_files(url)
        grown = (psutil.Process().memory_info().rss - rss) / 2**20
        generated = generate(url, cases)
        alive = httpx.get(f"{url}/readyz").status_code == 200
    bad = [row for row in files if row["wrong"]]
    write_result(
        "fuzz",
        " ".join(["python benchmarks/fuzz.py", *sys.argv[1:]]),
        bad,
        generated
        | {"hostile_files": len(files) // 2, "crashes": len(bad) + (not alive), "hostile_rss_mib": round(grown, 1)},
    )


if __name__ == "__main__":
    main()
