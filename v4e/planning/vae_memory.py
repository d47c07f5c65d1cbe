"""The memory of Wan2.1's VAE in float32: arithmetic alone.

What it holds of a clip is a number of bytes for each pixel of a frame. It was counted operator by operator at the true
sizes, on tensors without numbers (benchmarks/gpu/symbolic.py); the tiny family's VAE holds less.
"""

from dataclasses import dataclass

VAE_BYTES = 4 * 126_892_531  # of its weights


@dataclass(frozen=True, kw_only=True)
class VaeUse:
    """Bytes of a pixel of a frame that one way through the float32 VAE holds at its peak."""

    chunk: int  # of the layers at the pixels' own size, while they make or read 4 frames
    frame: int  # of every frame of the clip

    def of(self, height: int, width: int, frames: int) -> int:
        """Bytes of one clip of `frames` pixel frames."""
        return height * width * (self.chunk + self.frame * frames)


ENCODE = VaeUse(chunk=9_598, frame=511)
DECODE = VaeUse(chunk=16_730, frame=316)
# The editor's, whose convolutions are computed frame by frame.
ENCODE_BY_FRAME, DECODE_BY_FRAME = VaeUse(chunk=11_507, frame=511), VaeUse(chunk=18_639, frame=316)
IN_PIXELS = VaeUse(chunk=10_827, frame=9_283)  # decoded and encoded again, with gradients, blocks computed again
