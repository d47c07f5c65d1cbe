"""Small files of every corpus in its exact schema: ``v4e fixtures OUT`` writes them to look at.

Columns, types, row groups, nulls and folders are those of the published files; the pictures are synthetic. The files
have the same irregularities: image structs with bytes or a path, and plain binary images. Some shards have columns of
Arrow's null type, others lack columns, and some rows have no instruction.
"""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from v4e.data.ingest.drawing import Drawn, drawings
from v4e.data.write import IMAGE, SCHEMA

ROW_GROUP = 8  # rows; published files have about 100
OMNIEDIT = {  # our task to OmniEdit's label, and the beginning of its ids
    "addition": ("addition", "task_obj_add"),
    "removal": ("removal", "task_obj_remove"),
    "replacement": ("swap", "task_obj_swap_rand_mask"),
    "background": ("swap", "task_obj_swap_joint_mask"),
    "color": ("attribute_modification", "task_attr_mod_color"),
    "motion": ("attribute_modification", "task_attr_mod_facial"),
    "style": ("style", "task_style"),
    "tone": ("env", "task_env_weather"),
}
HQEDIT = pa.schema(
    [
        ("input", pa.string()),
        ("input_image", IMAGE),
        ("edit", pa.string()),
        ("inverse_edit", pa.string()),
        ("output", pa.string()),
        ("output_image", IMAGE),
    ]
)
SIMILARITIES = ("clip_sim_source", "clip_sim_target", "clip_sim_dir", "clip_sim_image", "dinov2_sim", "ssim")
ULTRAEDIT = pa.schema(  # of RegionBase; free-form shards have two columns of type null
    [
        *((name, pa.float64()) for name in SIMILARITIES),
        ("source_caption", pa.string()),
        ("target_caption", pa.string()),
        ("idx", pa.int64()),
        ("edit_prompt", pa.string()),
        ("edit_object", pa.string()),
        ("source_image", IMAGE),
        ("edited_image", IMAGE),
        ("mask_image", IMAGE),
    ]
)
MAGICBRUSH = pa.schema(
    [
        ("img_id", pa.string()),
        ("turn_index", pa.int32()),
        ("source_img", IMAGE),
        ("mask_img", IMAGE),
        ("instruction", pa.string()),
        ("target_img", IMAGE),
    ]
)


def write_all(out: Path, per_task: int = 3, scale: float = 1.0) -> None:
    """Writes all corpora below `out`, with `per_task` edits of each of their tasks per shard; sides times `scale`."""

    def size(width: int, height: int) -> tuple[int, int]:
        return round(width * scale), round(height * scale)

    write_omniedit(out / "omniedit", drawings("omniedit", per_task, size(1152, 896), tuple(OMNIEDIT)))
    write_hqedit(out / "hqedit", drawings("hqedit", per_task, size(900, 900)))
    for number, repository in enumerate(("UltraEdit", "UltraEdit_500k", "UltraEdit_Region_Based_100k")):
        write_ultraedit(out / "ultraedit" / repository, number, drawings(repository, per_task, size(512, 512)))
    write_gptedit(out / "gptedit", drawings("gptedit", per_task, size(1024, 1024), tuple(OMNIEDIT)))
    write_magicbrush(out / "magicbrush", drawings("magicbrush", per_task, size(1024, 1024)))
    write_folder(out / "folder", drawings("folder", per_task, size(640, 480)))


def write_omniedit(folder: Path, edits: Sequence[Drawn]) -> None:
    """Writes a shard of training rows, sorted by task, and one of dev with raw binary images."""
    rows = []
    for number, edit in enumerate(edits):
        label, start = OMNIEDIT[edit.task]
        rows.append(
            {
                "omni_edit_id": f"{start}_{number:06d}",
                "task": label,
                "src_img": _struct(edit.source, None),
                "edited_img": _struct(edit.edit, "edited.jpg"),
                "edited_prompt_list": [edit.instruction, f"please {edit.instruction}"],
                "width": edit.source.width,
                "height": edit.source.height,
                "sc_score_1": 9,
                "sc_score_2": 8 + number % 3,
                "pq_score": 9,
                "o_score": None if number % 11 == 5 else 8.0 + number % 3 / 2,
                "sc_reasoning": "The edit follows the instruction.",
                "pq_reasoning": "It looks natural.",
            }
        )
    cut = len(rows) * 3 // 4
    _write(folder / "data" / "train-00000-of-00571.parquet", rows[:cut], SCHEMA)
    plain = SCHEMA.set(2, pa.field("src_img", pa.binary())).set(3, pa.field("edited_img", pa.binary()))
    raw = [row | {name: row[name]["bytes"] for name in ("src_img", "edited_img")} for row in rows[cut:]]
    _write(folder / "data" / "dev-00000-of-00001.parquet", raw, plain)


def write_hqedit(folder: Path, edits: Sequence[Drawn]) -> None:
    """Writes edits with their inverses; no ids, labels or scores."""
    rows = [
        {
            "input": "A scene.",
            "input_image": _struct(edit.source, f"{number}.jpg"),
            "edit": edit.instruction,
            "inverse_edit": None if number % 9 == 4 else f"undo: {edit.instruction}",
            "output": "The scene, edited.",
            "output_image": _struct(edit.edit, None),
        }
        for number, edit in enumerate(edits)
    ]
    _write(folder / "data" / "train-00000-of-00190.parquet", rows, HQEDIT)


def write_ultraedit(folder: Path, number: int, edits: Sequence[Drawn]) -> None:
    """Writes a shard of one of the three repositories, each of which has its own columns."""
    rows = [
        {
            **dict.fromkeys(SIMILARITIES, 0.25 + 0.01 * (row % 7)),
            "source_caption": "A scene.",
            "target_caption": "The scene, edited.",
            "idx": row,
            "edit_prompt": edit.instruction if row % 13 != 6 else "",
            "edit_object": None if number < 2 else "thing",
            "source_image": _struct(edit.source, None),
            "edited_image": _struct(edit.edit, None),
            "mask_image": None if number < 2 else _struct(Image.new("L", edit.source.size, 255), None),
        }
        for row, edit in enumerate(edits)
    ]
    schema, name = ULTRAEDIT, "RegionBase-00000-of-00108"
    if number == 0:
        name = "FreeForm_0-00000-of-00002"
        for column in ("edit_object", "mask_image"):
            schema = schema.set(schema.get_field_index(column), pa.field(column, pa.null()))
    elif number == 1:
        name = "FreeForm-00000-of-00390"
        for column in ("edit_object", "mask_image"):
            schema = schema.remove(schema.get_field_index(column))
    _write(folder / "data" / f"{name}.parquet", [{key: row[key] for key in schema.names} for row in rows], schema)


def write_gptedit(folder: Path, edits: Sequence[Drawn]) -> None:
    """Writes folders of inputs and outputs, and a JSON file per row."""
    for number, edit in enumerate(edits):
        label = OMNIEDIT[edit.task][0]
        place = folder / "gpt-edit" / "omniedit" / label
        for name, image in (("input", edit.source), ("output", edit.edit)):
            _bytes(place / name / f"{number:06d}.png", _encoded(image, "PNG"))
        row = {
            "id": f"{number:06d}",
            "dataset_source": "omniedit",
            "task": label,
            "input": f"{number:06d}.png",
            "output": f"{number:06d}.png",
            "instruction": edit.instruction,
            "instruction_type": "original",
            "input_description": "A scene.",
        }
        _bytes(place / "metadata" / f"{number:06d}.json", json.dumps(row).encode())


def write_magicbrush(folder: Path, edits: Sequence[Drawn]) -> None:
    """Writes sessions of two turns; the images of a session are of one photograph."""
    rows = [
        {
            "img_id": str(100_000 + number // 2),
            "turn_index": 1 + number % 2,
            "source_img": _struct(edit.source, f"{number}-input.png"),
            "mask_img": _struct(Image.new("RGB", edit.source.size), f"{number}-mask.png"),
            "instruction": edit.instruction,
            "target_img": _struct(edit.edit, f"{number}-output.png"),
        }
        for number, edit in enumerate(edits)
    ]
    _write(folder / "data" / "train-00000-of-00051.parquet", rows, MAGICBRUSH)


def write_folder(folder: Path, edits: Sequence[Drawn]) -> None:
    """Writes images beside ``metadata.jsonl``, as a person would make by hand."""
    lines = []
    for number, edit in enumerate(edits):
        names = {side: f"images/{number:03d}-{side}.jpg" for side in ("source", "edit")}
        _bytes(folder / names["source"], _encoded(edit.source, "JPEG"))
        _bytes(folder / names["edit"], _encoded(edit.edit, "JPEG"))
        lines.append({"id": f"{number:03d}", **names, "instruction": edit.instruction, "task": edit.task})
    _bytes(folder / "metadata.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())


def _write(path: Path, rows: list[dict], schema: pa.Schema) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, row_group_size=ROW_GROUP)


def _bytes(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _struct(image: Image.Image, path: str | None) -> dict[str, bytes | str | None]:
    return {"bytes": _encoded(image, "JPEG"), "path": path}


def _encoded(image: Image.Image, form: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=form, **({"quality": 95} if form == "JPEG" else {}))
    return buffer.getvalue()
