"""Hooks that give schemathesis what our API's description lacks: pictures that can be decoded, ids that exist.

``benchmarks/serving/fuzz.py`` loads them and lists existing ids in ``V4E_FUZZ``. Two of three bodies get values that
fit together, so that they reach the model. The third stays as generated.
"""

import base64
import json
import os
from typing import Any

import schemathesis
from hypothesis import strategies as st
from PIL import Image
from schemathesis.transport.serialization import Binary

from benchmarks.support.served import picture, png

KNOWN: dict[str, Any] = json.loads(os.environ["V4E_FUZZ"])  # job_id, result_id and model_id that exist, and the mode
PICTURES = [png(picture(seed, (32, 32))) for seed in range(4)]
MASK = Image.new("RGBA", (32, 32), (0, 0, 0, 255))
MASK.paste((0, 0, 0, 0), (8, 8, 24, 24))
MASKS = [png(MASK)]
# Values that fit any others. A field without one is left out.
FITTING: dict[str, list] = {
    "model": [*KNOWN["model_id"]],
    "n": [1, 2],
    "size": ["auto", "64x64", "48x32"],
    "background": ["opaque", "auto"],
    "num_inference_steps": [1, 2],
    "num_frames": [5, 9],
    "stream": [False, True],
    "lora": [],
    "webhook_url": [],
    "deadline_s": [],
}

# A mutated description is checked by a validator that ends the whole run at bytes: there, files start out as text.
FILES = st.one_of(st.sampled_from(PICTURES), st.binary()).map(Binary)
schemathesis.openapi.format("binary", FILES if KNOWN["mode"] == "positive" else st.text(max_size=50))


@schemathesis.hook
def flatmap_path_parameters(_context, path_parameters: dict[str, Any]) -> st.SearchStrategy:
    there = {name: st.sampled_from(KNOWN[name]) for name in path_parameters or {} if KNOWN.get(name)}
    fitting = st.fixed_dictionaries(there).map(lambda known: {**path_parameters, **known})
    return st.one_of(fitting, fitting, st.just(path_parameters)) if there else st.just(path_parameters)


@schemathesis.hook
def flatmap_headers(_context, headers: dict[str, Any]) -> st.SearchStrategy:
    # The same Idempotency-Key with another body is refused, and generated ones are often the same.
    fitting = st.just({name: value for name, value in (headers or {}).items() if name.lower() != "idempotency-key"})
    return st.one_of(fitting, fitting, st.just(headers))


@schemathesis.hook
def flatmap_body(context, body: Any) -> st.SearchStrategy:
    if not isinstance(body, dict) or "prompt" not in body:
        return st.just(body)
    fitting = _fitting(body, job="jobs" in context.operation.path)
    return st.one_of(fitting, fitting, st.just(body))


@st.composite
def _fitting(draw, body: dict[str, Any], job: bool) -> dict[str, Any]:
    """Draws `body` with one picture, perhaps a mask, and fields that do not contradict each other."""
    whole = {
        name: value for name, value in body.items() if name not in {*FITTING, "image", "images", "mask", "file_id"}
    }
    for name, values in FITTING.items():
        if name in body and values:
            whole[name] = draw(st.sampled_from(values))
    if whole.get("n", 1) > 1 or job:
        whole.pop("stream", None)
    blob, again = draw(st.sampled_from(PICTURES)), draw(st.sampled_from([*KNOWN["result_id"], None, None]))
    as_json = "images" in body
    if again is not None:
        whole |= {"images": [{"file_id": again}]} if as_json else {"file_id": again}
    else:
        whole |= {"images": [{"image_url": _url(blob)}]} if as_json else {"image": Binary(blob)}
    if "mask" in body:
        mask = draw(st.sampled_from(MASKS))
        whole["mask"] = {"image_url": _url(mask)} if as_json else Binary(mask)
    return whole


def _url(blob: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(blob).decode()
