"""Styles and tones of a whole picture: float RGB (S, S, 3) in [0, 1] to the same."""

import numpy as np
from scipy.ndimage import sobel, uniform_filter1d

Image = np.ndarray


def stylize(image: Image, style: str) -> Image:
    """Redraws a picture in one of STYLES.

    Raises:
        ValueError: there is no such style.
    """
    size = image.shape[0]
    match style:
        case "pencil sketch":
            grey = _blur(image, max(1, size // 32)).mean(-1)
            edges = np.hypot(sobel(grey, 0), sobel(grey, 1)) * size / 96
            return np.repeat(np.clip(0.80 + 0.22 * grey - 1.6 * edges, 0, 1)[..., None], 3, -1)
        case "watercolor":
            wide = size // 12
            return 0.46 + 0.54 * _blur(_blur(image, wide), wide)
        case "pixel art":
            cells = 8
            side = size // cells
            blocks = image.reshape(cells, side, cells, side, 3).mean((1, 3))
            return blocks.repeat(side, 0).repeat(side, 1)
        case "pop art":
            grey = image.mean(-1, keepdims=True)
            ramp = np.array([(0.30, 0.00, 0.50), (0.96, 0.12, 0.48), (1.00, 0.88, 0.12)])
            low, high = np.clip((grey - 0.33) * 8, 0, 1), np.clip((grey - 0.66) * 8, 0, 1)
            return ramp[0] + low * (ramp[1] - ramp[0]) + high * (ramp[2] - ramp[1])
        case "negative":
            return 1 - image
    raise ValueError(f"unknown style {style!r}")


def _blur(image: Image, wide: int) -> Image:
    """Returns the means over squares of `wide` pixels."""
    return uniform_filter1d(uniform_filter1d(image, wide, axis=0), wide, axis=1)


def grade(image: Image, tone: str) -> Image:
    """Changes the light of a picture to one of TONES.

    Raises:
        ValueError: there is no such tone.
    """
    match tone:
        case "warm":
            return np.clip(image * (1.15, 0.80, 0.38) + (0.14, 0.05, 0.0), 0, 1)
        case "cold":
            return np.clip(image * (0.42, 0.80, 1.10) + (0.0, 0.04, 0.14), 0, 1)
        case "dark":
            return image * (0.26, 0.28, 0.42)
        case "bright":
            return 1 - (1 - image) * 0.36
        case "black and white":
            grey = image.mean(-1, keepdims=True)
            return np.repeat(np.clip((grey - 0.5) * 1.7 + 0.5, 0, 1), 3, -1)
    raise ValueError(f"unknown tone {tone!r}")
