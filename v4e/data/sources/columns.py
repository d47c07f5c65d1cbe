"""The columns of a table that somebody else made: which of them are the source, the edit and the instruction."""

from collections.abc import Iterable, Mapping, Sequence

from v4e.config.ingest import NEEDED
from v4e.data.sources.tars import InArchive

ALIASES: dict[str, tuple[str, ...]] = {  # the likeliest first; without endings such as _path
    "source": (
        *("source", "source_image", "src", "src_img", "input_image", "local_input_image", "original_image", "before"),
        *("input", "original", "source_img", "image_before", "input_img", "0_image", "image_src", "image_0", "image1"),
        *("open_image_input", "source_file", "1.0", "file_name", "image"),
    ),
    "edit": (
        *("edited_image", "edited_img", "output_image", "target_image", "target_img", "after", "target", "output"),
        *(
            "edited",
            "image_after",
            "target_file",
            "2",
            "output_img",
            "result",
            "result_image",
            "image_tgt",
            "image_1",
            "image2",
            "edit",
        ),
    ),
    "instruction": (
        *("instruction", "edit_instruction", "edit_prompt", "edited_prompt_list", "editing_instruction", "edit_text"),
        *("instructions", "input_prompt", "prompt", "text", "caption", "txt", "instruction_en", "edit"),
    ),
}
ENDINGS = ("_file_name", "_filename", "_relpath", "_path", "_file", "_url", ".jpg", ".jpeg", ".png", ".webp")


def missing(mapping: Mapping[str, str], names: Iterable[str]) -> str:
    """Returns why a table with columns `names` cannot be read by `mapping` of roles to columns; "" where it can."""
    names = list(names)
    lost = [mapping.get(role, role) for role in NEEDED if top(mapping.get(role, role), names) not in names]
    if not lost:
        return ""
    return f"no column {lost[0]!r}, only {', '.join(names)}: set ingest.columns={suggested(names)}"


def suggested(names: Sequence[str]) -> str:
    """Returns the value of ``ingest.columns`` that fits `names` best, with COLUMN where none fits."""
    left, found = list(names), {}
    for role in NEEDED:
        fits = (name for alias in ALIASES[role] for name in left if _bare(name) == alias)
        found[role] = next(fits, "")
        if found[role]:
            left.remove(found[role])
    return ",".join(f"{role}:{found[role] or 'COLUMN'}" for role in NEEDED)


def _bare(name: str) -> str:
    bare = name.strip().lower().replace(" ", "_")
    for ending in ENDINGS:
        bare = bare.removesuffix(ending)
    return bare


def top(column: str, names: Iterable[str]) -> str:
    """Returns the column of a table that holds `column`: itself, or what stands before its first dot or plus."""
    return column if column in names else column.partition("+")[0].partition(".")[0]


def pick(row: Mapping, column: str) -> object:
    """Returns the value of `column`.

    ``images.0`` is an entry of a list, ``meta.prompt`` one of a struct, and ``archive+file`` a member of a tar archive
    that two columns name.
    """
    if column in row:
        return row[column]
    if "+" in column:
        archive, name = (pick(row, part) for part in column.split("+", 1))
        return InArchive(archive, name) if isinstance(archive, str) and isinstance(name, str) else None
    value: object = row
    for part in column.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value
