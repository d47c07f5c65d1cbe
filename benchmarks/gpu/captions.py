"""Evolution captions by vLLM on this device, each of which has to pass its checks or be the template's."""

import os
from dataclasses import replace

from actors.llm.captioner import Captioner
from actors.llm.engine import environment
from benchmarks.gpu.sizes import Absent, Figures, GpuSize
from v4e.captions.small_llm import resolve_model
from v4e.captions.write import CaptionRequest
from v4e.config import tiny

INSTRUCTIONS = ("Make the red ball blue", "Remove the tree on the left", "Add a small boat", "Turn it into a sketch")


def check(device: str, size: GpuSize) -> Figures:
    """Returns how many captions a model wrote, and tokens a second.

    Raises:
        Absent: vLLM or the small language model of recipe=tiny is not installed.
    """
    config = replace(tiny().caption, gpus=1 if device == "cuda" else 0)
    os.environ.update(environment(config.model, config.gpus, config.threads))  # before vLLM is imported
    try:
        resolve_model(config.model)
        captioner = Captioner(config)
    except (ImportError, FileNotFoundError, ValueError) as error:
        raise Absent(str(error)) from error
    except RuntimeError as error:
        if "cannot be imported" in str(error):
            raise Absent(str(error)) from error
        raise
    batch = captioner.write(0, [CaptionRequest(instruction=text) for text in INSTRUCTIONS])
    wrong = [written for written in batch.written if written.checks and written.origin != "template"]
    assert not wrong, f"captions that fail their checks: {wrong}"
    assert all(written.caption for written in batch.written), "an instruction got no caption"
    by_model = sum(written.origin != "template" for written in batch.written)
    return {"captions": len(batch.written), "by the model": by_model, "tokens/s": batch.tokens / batch.seconds}
