"""The colours that a picture file means, by its colour profile, as sRGB: what models see and files without one mean."""

import io

import numpy as np
from PIL import Image, ImageCms

NEAR = 2  # levels of 255: profiles that come this near to sRGB are sRGB, of which there are dozens
KINDS = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # Pillow's mode for the colour spaces of a profile


def to_srgb(image: Image.Image) -> Image.Image:
    """Returns `image` as RGB of 8 bits without transparency, its colours those that its ICC profile means.

    Pixels under a profile that is as good as sRGB stay equal to the bit. A profile that is damaged or of another kind
    of picture counts for nothing, as in browsers.
    """
    mode = "L" if image.mode in ("1", "L", "LA") else "CMYK" if image.mode == "CMYK" else "RGB"
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        kind = KINDS[profile.profile.xcolor_space.strip()]  # pyright: ignore[reportAttributeAccessIssue]
        if kind != mode and (kind == "CMYK" or mode == "CMYK" or kind == "L"):
            return image.convert("RGB")
        srgb = ImageCms.createProfile("sRGB")
        how = ImageCms.buildTransform(
            profile,
            srgb,
            kind,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if _moves(how, kind):
            made = ImageCms.applyTransform(image.convert(kind), how)
            assert made is not None
            return made
    except (KeyError, TypeError, ValueError, OSError, ImageCms.PyCMSError):
        pass
    return image.convert("RGB")


def _moves(how: ImageCms.ImageCmsTransform, kind: str) -> bool:
    """Returns whether any of some colours over all the range changes by more than rounding."""
    if kind == "CMYK":
        return True
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3) if kind == "RGB" else levels[None]
    before = Image.fromarray(grid)
    after = ImageCms.applyTransform(before, how)
    assert after is not None
    return int(np.abs(np.asarray(after, np.int16) - np.asarray(before.convert("RGB"), np.int16)).max()) > NEAR
