"""Edits that another program made, brought from its folder into the official layout."""

from collections.abc import Sequence
from pathlib import Path

from v4e.evaluation.suites.items import SuiteItem
from v4e.faults import Fault
from v4e.files.images import open_image
from v4e.files.pictures import png
from v4e.files.uri import write_atomic

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".avif")


def bring(items: Sequence[SuiteItem], suite: str, root: str, place: str) -> tuple[int, list[str]]:
    """Copies the edits of `items` from the folder `place` into the official layout below `root`, as PNG.

    An edit's name is its key, or the official path, or the end of it: ``fullset/<task>/<language>/<key>.png``,
    ``<language>/<key>.jpg``, ``<key>.webp``. Those in its folder of the suite's name go before others.

    Returns:
        How many were found, and a line for each that cannot be read.

    Raises:
        Fault: the folder is not there, or holds two edits of one item.
    """
    if not Path(place).is_dir():
        raise Fault("J02", f"bench.edits: {place} is no folder: expected NAME:FOLDER of another program's edits")
    ends = _ends(Path(place))
    found, bad = 0, []
    for item in items:
        parts = Path(item.edited).relative_to(root).with_suffix("").parts
        if (file := _one(ends, parts, Path(place) / suite)) is None:
            continue
        try:
            data = file.read_bytes() if file.suffix.lower() == ".png" else png(open_image(file))
        except (OSError, ValueError) as error:
            bad.append(f"{item.key}: {error}")
            continue
        found += 1
        if not Path(item.edited).exists() or Path(item.edited).read_bytes() != data:
            write_atomic(item.edited, data)
    return found, bad


def _ends(place: Path) -> dict[tuple[str, ...], list[Path]]:
    """The pictures below `place` by every end of their paths, without suffixes."""
    ends: dict[tuple[str, ...], list[Path]] = {}
    for file in sorted(place.rglob("*")):
        if file.suffix.lower() in PICTURES and not file.stem.endswith("_SRCIMG"):
            parts = file.relative_to(place).with_suffix("").parts
            for at in range(len(parts)):
                ends.setdefault(parts[at:], []).append(file)
    return ends


def _one(ends: dict[tuple[str, ...], list[Path]], parts: tuple[str, ...], first: Path) -> Path | None:
    """The picture whose path ends in most of `parts`; those below the folder `first` go before others."""
    for at in range(len(parts)):
        files = ends.get(parts[at:], [])
        files = [file for file in files if first in file.parents] or files
        if len(files) > 1:
            raise Fault("J02", f"bench.edits: {files[0]} and {files[1]} are both named as {'/'.join(parts)}: keep one")
        if files:
            return files[0]
    return None
