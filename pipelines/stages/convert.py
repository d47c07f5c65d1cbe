"""Writes a model in Wan's original layout as a diffusers pipeline folder.

v4e convert ORIGINAL ENCODERS OUT

The transformer comes from ORIGINAL, all else from the diffusers pipeline ENCODERS; both are folders or hub ids.
"""

from v4e.config.commands import Convert
from v4e.weights.convert import convert
from v4e.weights.load import DTYPES


def run(options: Convert) -> None:
    """Convert the model that `options` names."""
    convert(options.original, options.encoders, options.out, dtype=DTYPES[options.dtype])
    print(options.out)
