"""The checks of what an edit is given, before a model runs."""

from collections.abc import Sequence

from PIL import Image

from v4e.editing.settings import EditSettings, check_seed


def check_counts(
    images: Sequence, instructions: Sequence, seeds: Sequence, negatives: Sequence | None, lasts: Sequence | None
) -> None:
    """Refuses lists that do not fit each other.

    Raises:
        ValueError: naming what was expected and what was got.
    """
    if not images:
        raise ValueError("0 images: expected at least one")
    if not len(images) == len(instructions) == len(seeds):
        raise ValueError(
            f"{len(images)} images, {len(instructions)} instructions, {len(seeds)} seeds: expected as many of each"
        )
    for seed in seeds:
        check_seed(seed)
    for name, given in (("negatives", negatives), ("last_images", lasts)):
        if given is not None and len(given) != len(images):
            raise ValueError(f"{len(given)} {name} of {len(images)} images: expected as many")


def check_masks(images: Sequence[Image.Image], masks: Sequence[Image.Image] | None, settings: EditSettings) -> None:
    """Refuses masks that do not fit their images.

    Raises:
        ValueError: naming the mask, what was expected and what was got.
    """
    if masks is None:
        if settings.hold:
            raise ValueError("hold=True holds what lies outside a mask, and there is none: give masks, or leave it out")
        return
    if len(masks) != len(images):
        raise ValueError(f"{len(masks)} masks of {len(images)} images: expected as many")
    for image, mask in zip(images, masks, strict=True):
        if mask.mode != "L" or mask.size != image.size:
            got, expected = (f"{size[0]} x {size[1]}" for size in (mask.size, image.size))
            raise ValueError(f"a mask of mode {mask.mode} and {got} pixels: expected L and its image's {expected}")
