"""Writes a model in Wan's original layout as a diffusers pipeline folder, or the other way round.

v4e convert ORIGINAL ENCODERS OUT
v4e convert PIPELINE - OUT.safetensors

The transformer comes from ORIGINAL, all else from the diffusers pipeline ENCODERS; both are folders or hub ids.
ORIGINAL may be one file, as ComfyUI loads it. An OUT that ends in .safetensors is such a file of a pipeline's
transformer.
"""

from pathlib import Path

from v4e.config.commands import ConvertOptions
from v4e.faults import Fault
from v4e.weights.convert import convert
from v4e.weights.load import DTYPES
from v4e.weights.single import STORED, write_single


def run(options: ConvertOptions) -> None:
    """Convert the model that `options` names."""
    if Path(options.out).suffix == ".safetensors":
        write_single(options.original, options.out, STORED[options.dtype])
    elif options.dtype not in DTYPES:
        raise Fault("A02", f"dtype={options.dtype} is for one file: let OUT end in .safetensors, or set dtype=bfloat16")
    else:
        convert(options.original, options.encoders, options.out, dtype=DTYPES[options.dtype])
    print(options.out)
