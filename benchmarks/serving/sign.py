"""The cost of content credentials: milliseconds of CPU that signing adds to a result, beside encoding it.

``python -m benchmarks.serving.sign [rounds]``. Pictures are smooth with grain, so that files have the size of a
photograph's. The goal is 5 ms a result.
"""

import sys
import tempfile
import time
from statistics import median

import numpy as np
from PIL import Image

from benchmarks.support.result import write_result
from v4e.files.credentials import read, signed
from v4e.files.results import Form, encode
from v4e.files.signers import own_signer

ROUNDS, GOAL_MS = 15, 5.0
SIZES = ((512, 512), (1280, 720))
FORMS: tuple[Form, ...] = ("png", "jpeg", "webp")
QUALITY = {"png": 100, "jpeg": 90, "webp": 90}
RECORD = {"instruction": "make the car blue", "seed": 1, "weights_sha256": "0" * 64, "settings": {"steps": 8}}


def photograph(width: int, height: int) -> Image.Image:
    """Returns smooth shades with grain."""
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (9, 16, 3), dtype=np.uint8)).resize((width, height))
    grain = random.normal(0, 3, (height, width, 1))
    return Image.fromarray((np.asarray(coarse) + grain).clip(0, 255).astype(np.uint8))


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        signer = own_signer(f"{folder}/signer.pem")
        rows = [measured(signer, size, form, rounds) for size in SIZES for form in FORMS]
    worst = max(row["sign_ms"] for row in rows)
    summary = {"sign_ms_worst": worst, "goal_ms": GOAL_MS} | {
        f"{row['size']}_{row['form']}_ms": row["sign_ms"] for row in rows
    }
    write_result("sign", f"python -m benchmarks.serving.sign {rounds}", rows, summary)


def measured(signer, size: tuple[int, int], form: Form, rounds: int) -> dict:
    """Measures one size and format; the source is a JPEG of the same picture."""
    picture, mime = photograph(*size), f"image/{form}"
    source = encode(picture, "jpeg", 90)
    more = {"source": source, "region": (8, 8, 200, 200)}
    blob = encode(picture, form, QUALITY[form])
    made = signed(blob, mime, signer, RECORD, **more)
    assert read(made, mime).state == "valid"
    encoding = milliseconds(lambda: encode(picture, form, QUALITY[form]), rounds)
    signing = milliseconds(lambda: signed(blob, mime, signer, RECORD, **more), rounds)
    return {
        "size": f"{size[0]}x{size[1]}",
        "form": form,
        "file_bytes": len(blob),
        "credentials_bytes": len(made) - len(blob),
        "encode_ms": round(encoding, 2),
        "sign_ms": round(signing, 2),
        "of_encoding": round(signing / encoding, 3),
    }


def milliseconds(call, rounds: int) -> float:
    """Returns the median of the process's CPU time."""
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        call()
        taken.append(1e3 * (time.process_time() - start))
    return median(taken)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
