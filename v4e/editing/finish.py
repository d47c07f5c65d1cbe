"""The last step of an edit: from the clip that the model made to the picture that is handed back."""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageChops

from v4e.editing import region
from v4e.editing.settings import EditSettings
from v4e.files.images import rgb


@dataclass(frozen=True, kw_only=True)
class Edit:
    """An edit and how it came about."""

    image: Image.Image  # of the source's size
    clip: list[Image.Image]  # P frames of the model's size, the source's reconstruction first
    how: tuple[str, ...] = ()  # names of the options in use that are not exact
    notes: tuple[str, ...] = ()  # sentences on what was asked for and has no effect
    region: Image.Image | None = None  # L, of the source's size, 255 where edited; None where nothing was kept


def finished(
    edit: Edit,
    settings: EditSettings,
    *,
    sized: Image.Image,
    still: Image.Image | None = None,
    mask: Image.Image | None = None,
) -> Edit:
    """Returns `edit`, whose image is the source yet, with the state of its clip that `settings` ask for.

    `sized` is the source at the model's size and `still` the VAE's reconstruction of it, needed for
    ``preserve="auto"``. Outside of `mask`, and of the region, the pixels are those of the source to the bit.
    """
    source, clip = rgb(edit.image), edit.clip
    edit = replace(edit, image=region.at_strength(clip, source, settings.strength))
    if still is not None:
        base, truth = np.asarray(still), np.asarray(sized)
        shown = {len(clip) - 1, *region.frames_at(len(clip), settings.strength)} - {0}
        core = np.any([region.changed(np.asarray(clip[frame]), base, truth) for frame in shown], axis=0)
        found = Image.fromarray(region.mask_of(core, source.size))
        edit = replace(edit, region=found if mask is None else ImageChops.darker(found, mask))
    elif mask is not None:
        edit = replace(edit, region=mask)
    return edit if edit.region is None else replace(edit, image=Image.composite(edit.image, source, edit.region))
