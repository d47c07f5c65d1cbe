"""Taps and velocity of a DiT in bfloat16, by native and flash attention, against the same weights in float32.

Once as the student, and once as the teacher: FLF2V has an embedding for the tokens of both images.
"""

import torch

from benchmarks.gpu.sizes import BF16, Figures, GpuSize, device_of, distance, expect, inputs_of, made
from v4e.models.dit import hidden_states, predict


@torch.inference_mode()
def check(device: str, size: GpuSize) -> Figures:
    """Errors of velocity and taps; that the teacher's way, which stops at the last tap, gives the student's states."""
    on, taps = device_of(device), tuple(range(size.blocks))
    figures: Figures = {}
    for last_frame in (False, True):
        exact = inputs_of(size, "float32", on, last_frame=last_frame)
        u_BCFHW, h_KBND = predict(made(size, "float32", on, last_frame=last_frame), *exact, taps=taps)
        for attention in ("native", "flash"):
            name = f"{attention} teacher" if last_frame else attention
            try:
                model = made(size, "bfloat16", on, attention, last_frame=last_frame)
            except (ImportError, RuntimeError, ValueError) as error:
                if attention == "native":
                    raise
                figures[attention] = f"not here: {str(error).splitlines()[0][:80]}"
                continue
            inputs = inputs_of(size, "bfloat16", on, last_frame=last_frame)
            u, h = predict(model, *inputs, taps=taps)
            figures[f"{name} velocity error"] = expect(f"{name}'s velocity error", distance(u, u_BCFHW), BF16)
            worst = max(distance(ours, truth) for ours, truth in zip(h, h_KBND, strict=True))
            figures[f"{name} tap error"] = expect(f"{name}'s tap error", worst, BF16)
            stopped = distance(hidden_states(model, *inputs, taps=taps), torch.stack(h))
            figures[f"{name} stopped at the tap"] = expect("teacher's way against the student's", stopped, 1e-3)
    return figures
