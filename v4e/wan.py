"""Facts of Wan that data, models, planning and serving share. Imports no package."""

from typing import Literal

GRID = 16  # pixels along the side of a token: 8 of the VAE times 2 of the DiT's patches
TEXT_LEN = 512  # text tokens that the DiT attends to, pads included
TEMPORAL = 4  # pixel frames of a latent frame, except the first one, which holds a single frame
LEAST_FRAMES = 5  # pixel frames of the shortest clip in which anything can change
TRAINED_FRAMES = "_trained_frames"  # in vae/config.json, the clip lengths that a family knows; diffusers skips the key
Solver = Literal["euler", "unipc"]  # of the flow's equation; UniPC is Wan's own
VAE_PIXELS = 1 << 21  # that the VAE sees at a time, if a clip has no more: one of 5 x 480 x 832, many tiny ones (ours)


def vae_clips(pixels: int) -> int:
    """Returns how many clips of so many pixels, of all frames, the VAE sees at a time: at least one."""
    return max(1, VAE_PIXELS // pixels)


def latent_frames(frames: int) -> int:
    """Returns F, the latent frames of a clip of P = `frames` pixel frames."""
    return (frames - 1) // TEMPORAL + 1


def pixel_frames(latents: int) -> int:
    """Returns P, the pixel frames of a clip of F = `latents` latent frames."""
    return (latents - 1) * TEMPORAL + 1


def fits_vae(frames: int) -> bool:
    """Returns whether the VAE encodes clips of `frames` pixel frames: 4k + 1."""
    return frames % TEMPORAL == 1


def check_frames(key: str, frames: int) -> None:
    """Refuses a clip length that the VAE cannot encode or in which nothing can change.

    Raises:
        ValueError: names the setting `key`, what it is and the nearest length below that fits.
    """
    if frames < LEAST_FRAMES or not fits_vae(frames):
        nearest = max(LEAST_FRAMES, frames // TEMPORAL * TEMPORAL + 1)
        raise ValueError(
            f"{key}={frames}: Wan's VAE needs 4k+1 frames (5, 9, 13, ...) and an edit needs at least {LEAST_FRAMES}: "
            f"set {key}={nearest}"
        )


def on_grid(pixels: float) -> int:
    """Returns the longest side on the grid that is at most `pixels` long; one cell at least."""
    return max(GRID, int(pixels) // GRID * GRID)
