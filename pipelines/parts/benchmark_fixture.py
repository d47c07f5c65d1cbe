"""A few rows of our own in the exact layouts of GEdit-Bench, ImgEdit-Bench and RISEBench.

Writes gedit/data/train-00000-of-00001.parquet, imgedit/Benchmark.tar, imgedit_code/ (items and own-worded prompts),
gedit_code/ (own-worded prompts), multiturn/, rise/ and rise_code/ (own-worded prompts). Images and instructions are of
the evolution world; nothing is taken from the benchmarks.
"""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from v4e.evaluation.suites import gedit, imgedit, rise, rise_rubric
from v4e.evaluation.suites.prompts import PROMPTS
from v4e.evaluation.suites.rubrics import OWN_ONE, OWN_PQ, OWN_SC, OWN_THREE, SCALE, UGE, VIE
from v4e.language.tasks import TASKS
from v4e.tiny.world import Record, make_record

TASK_OF = dict(
    zip(
        gedit.GROUPS,
        (
            *("background", "color", "material", "motion", "portrait", "style"),
            *("addition", "removal", "replacement", "text", "tone"),
        ),
        strict=True,
    )
)
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write(folder: Path, rows: int = 2) -> None:
    """`rows` items of each group of GEdit-Bench and language, of each family of ImgEdit-Bench, of UGE, of each
    category of RISEBench."""
    _gedit(folder, rows)
    _imgedit(folder, rows)
    _rise(folder, rows)


def picture(record: Record) -> bytes:
    """The record's source as PNG, twice as large, so that its size is not the tiny models' own."""
    buffer = io.BytesIO()
    image = Image.fromarray(np.asarray(record.source))
    image.resize((2 * image.width, 2 * image.height), Image.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()


def _gedit(folder: Path, rows: int) -> None:
    found = []
    for number in range(rows):
        for group, task in TASK_OF.items():
            for language in ("en", "cn"):
                record = make_record("heldout", task, number, 0)
                image = {"bytes": picture(record), "path": None}
                found.append(
                    {
                        "task_type": group,
                        "key": f"{group}-{number}",
                        "instruction": record.instruction + ("" if language == "en" else "。"),
                        "instruction_language": language,
                        "input_image": image,
                        "input_image_raw": image,
                        "Intersection_exist": number == 0,
                    }
                )
    schema = pa.schema(
        [
            *((name, pa.string()) for name in ("task_type", "key", "instruction", "instruction_language")),
            *(("input_image", IMAGE), ("input_image_raw", IMAGE), ("Intersection_exist", pa.bool_())),
        ]
    )
    file = folder / "gedit" / "data" / "train-00000-of-00001.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(found, schema), file)
    names = {
        "_context_no_delimit": SCALE,
        "_prompts_0shot_two_image_edit_rule": OWN_SC.split("Give two")[0].replace("<instruction>", "see below"),
        "_prompts_0shot_tie_rule_SC": OWN_SC,
        "_prompts_0shot_rule_PQ": OWN_PQ,
    }
    _text(folder / "gedit_code" / VIE, "".join(f"{name} = {text!r}\n" for name, text in names.items()))


def _imgedit(folder: Path, rows: int) -> None:
    code, images = folder / "imgedit_code", {}
    basic, uge, turns = {}, {}, {}
    for number in range(rows):
        for at, group in enumerate(imgedit.GROUPS):
            record = make_record("heldout", TASKS[at], number, 1)
            key = str(100 * number + at)
            basic[key] = {"id": f"{group}/{number:09d}.png", "prompt": record.instruction, "edit_type": group}
            images[f"Benchmark/singleturn/{group}/{number:09d}.png"] = picture(record)
        record = make_record("heldout", TASKS[number], number, 2)
        uge[str(number + 1)] = {"id": f"{number:09d}.png", "prompt": record.instruction}
        images[f"Benchmark/hard/{number:09d}.png"] = picture(record)
        texts = {f"turn{k}": make_record("heldout", TASKS[k], number, 3).instruction for k in (1, 2, 3)}
        turns[str(number + 1)] = {"id": f"turns-{number}.png"} | texts
        images[f"Benchmark/multiturn/turns-{number}.png"] = picture(make_record("heldout", TASKS[0], number, 3))
    _text(code / imgedit.ITEMS, json.dumps(basic, indent=4))
    _text(code / imgedit.UGE_ITEMS, json.dumps(uge, indent=4))
    prompts = {group: OWN_THREE.replace("{group}", group) for group in imgedit.GROUPS}
    _text(code / PROMPTS, json.dumps(prompts, indent=2))
    _text(code / UGE, f"prompt = {OWN_ONE.split('Score: N')[0]!r}\n")
    _text(folder / "multiturn" / "content_memory.json", json.dumps(turns, indent=4))
    tar = folder / "imgedit" / "Benchmark.tar"
    tar.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(tar, "w") as out:
        for name, data in images.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))


def _rise(folder: Path, rows: int) -> None:
    """Items with a reference in words and with one in an image, and of the others one free of consistency."""
    found = []
    for number in range(rows):
        for at, group in enumerate(rise.GROUPS):
            record = make_record("heldout", TASKS[at], number, 4)
            name = f"{group}_images/{number + 1}"
            row = {"index": f"{group}_{number + 1}", "category": group, "instruction": record.instruction}
            found.append(row | {"image": f"{name}.png", "subtask": "ours"})
            _bytes(folder / "rise" / "data" / f"{name}.png", picture(record))
            if group == rise.LOGICAL and number % 2 == 0:
                _bytes(folder / "rise" / "data" / f"{name}_ref.png", picture(record))
                found[-1] |= {"reference_img": f"{name}_ref.png"}
            else:
                found[-1] |= {"reference_txt" if group == rise.LOGICAL else "reference": record.instruction}
            if group != rise.LOGICAL and number % 2:
                found[-1] |= {"consistency_free": "True", "reasoning_img": "True"}
    _text(folder / "rise" / "datav2_total_w_subtask.json", json.dumps(found, indent=4))
    prompts = "".join(f"{name} = {text!r}\n" for name, text in rise_rubric.own_prompts().items())
    _text(folder / "rise_code" / rise_rubric.CODE, prompts)


def _bytes(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _text(path: Path, text: str) -> None:
    _bytes(path, text.encode())
