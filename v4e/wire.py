"""The form in which a target travels from teacher to student: its precision and its bytes. It imports nothing of v4e.

Shape letters: K taps, B batch, N DiT tokens, D width.
"""

from collections.abc import Sequence
from typing import Literal

Payload = Literal["bf16", "fp8"]
SCALE = 4  # bytes of an fp8 token's scale


def packed_bytes(shape_KBND: Sequence[int], payload: Payload) -> int:
    """Returns the bytes of a packed target: 2 K B N D in bf16, K B N (D + 4) in fp8."""
    taps, batch, tokens, width = shape_KBND
    return taps * batch * tokens * (2 * width if payload == "bf16" else width + SCALE)
