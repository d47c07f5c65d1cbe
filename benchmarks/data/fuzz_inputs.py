"""The inputs of ``benchmarks/data/fuzz.py``: words of command lines, files of many kinds, whole and damaged."""

import csv
import dataclasses
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st
from PIL import Image

from v4e.config import RECIPES, Config
from v4e.config.commands import OPTIONS

TABLE_ERRORS = (pa.ArrowException, OSError, ValueError)  # that readers of tables promise
SIZES = ((1, 1), (7, 5), (32, 32), (40, 3))
HOSTILE = (
    *("", " ", ",", "=", "-", "--", "0", "-1", "1", "2", "7", "1e3", "1e999", "-0.0", "nan", "inf", "-inf", "0x10"),
    *("1_000", "_1", "\uff11", "9" * 21, "true", "True", "false", "none", "null", "[1]", "1,2", "0,7", "1,,2", "fp8"),
    *("~", "~/x", "~nobody/x", "/dev/null", "/dev/null/x", "/proc/self/mem", "/root/none", ".", "..", "a" * 300),
    *("a\0b", "a\nb", "\udcff", "\xe9", "\u202e", "${HOME}", "$(id)", "%s", "{0}", "*", "?", "[", "memory://x"),
    *("zip://a::b", "nosuch://x", "://", ":", "::", "a:b:c", "a:nan", "a.safetensors:1e9", "color=1,tone=2"),
    *("32x32", "0x0", "1x", "-1x5", "tiny", "native", "flash", "bfloat16", "gpt-5", "h100", "2026-01-01", "x/../y"),
)  # fmt: skip
words = st.one_of(
    st.sampled_from(HOSTILE),
    st.sampled_from(HOSTILE),
    st.integers(-(10**20), 10**20).map(str),
    st.integers(-5, 70).map(str),
    st.floats().map(str),
    st.text(max_size=12),
)


@cache
def keys(name: str) -> tuple[str, ...]:
    """All keys that a command knows."""
    if name in OPTIONS:
        return tuple(one.name for one in dataclasses.fields(OPTIONS[name]))
    sections = Config(recipe="").sections()
    return ("recipe", *(f"{s}.{f.name}" for s, section in sections.items() for f in dataclasses.fields(section)))


def _key(word: str) -> str:
    return word.partition("=")[0]


@st.composite
def command_lines(draw: Callable, name: str) -> list[str]:
    """Up to four words: keys that are known or nearly, flags, and values of any kind."""
    known = st.sampled_from(keys(name))
    key = st.one_of(known, known, known, known.map(lambda one: f"--{one}"), known.map(lambda one: one[:-1]), words)
    pair = st.tuples(key, words).map("=".join)
    recipe = st.sampled_from([*RECIPES, "tiny"]).map(lambda one: f"recipe={one}")
    if name not in OPTIONS and draw(st.booleans()):  # settings that must fit each other
        section = draw(st.sampled_from([one for one in keys(name) if "." in one])).partition(".")[0]
        of_it = st.sampled_from([one for one in keys(name) if one.startswith(f"{section}.")])
        sizes = st.one_of(st.integers(0, 9), st.sampled_from((10**6, 10**12, 10**18, 2**63, 0.5))).map(str)
        return draw(st.lists(st.tuples(of_it, sizes).map("=".join), min_size=2, max_size=6, unique_by=_key))
    other = st.one_of(words, st.sampled_from(("--help", "-h", "-o", "--json", "--example", "seed=1")))
    return draw(st.lists(st.one_of(pair, pair, pair, recipe, other), max_size=4))


@st.composite
def real_lines(draw: Callable, name: str, folder: Path) -> list[str]:
    """A command line over the files of `folder`, mostly one that would be right for good files."""
    place = st.one_of(st.sampled_from(("run", "here", "here/a.jsonl", "here/b.json", "pairs.jsonl", "c.txt")), words)
    first = {
        "data": ["look", draw(place), f"out={draw(st.sampled_from(('page.html', 'c.txt/x', 'new/p.html')))}"],
        "runs": [f"where={draw(place)}"],
        "runs_clean": [f"where={draw(place)}"],
        "report": [f"run.dir={draw(place)}"],
        "leakage": [draw(place), "hashes.txt"],
        "preservation": [f"bench.pairs={draw(place)}", f"bench.edits={draw(place)}", "bench.dir=bench"],
        "convert": [draw(place), draw(place), draw(st.sampled_from(("out", "out.safetensors", "c.txt/out")))],
    }[name]
    return [*first, *draw(st.lists(words, max_size=1) if draw(st.booleans()) else st.just([]))]


def litter(draw: Callable, folder: Path) -> None:
    """Fills `folder` with what commands read: a run, listings, pairs and texts, of right and of wrong forms."""
    (folder / "run").mkdir()
    (folder / "here").mkdir()
    for name in ("run/config.json", "run/stages.json", "run/metrics.json", "here/b.json"):
        if draw(st.booleans()):
            (folder / name).write_bytes(draw(json_bytes))
    for name in ("run/metrics.jsonl", "here/a.jsonl", "pairs.jsonl"):
        lines = draw(st.lists(json_bytes, max_size=3))
        (folder / name).write_bytes(b"\n".join(lines) + draw(st.sampled_from((b"", b"\n"))))
    (folder / "c.txt").write_bytes(draw(st.binary(max_size=60)))
    Image.new("RGB", (16, 16), "red").save(folder / "s.png")
    (folder / "t.png").write_bytes(draw(picture_bytes()))


def environments() -> st.SearchStrategy:
    """Variables that a shell, a container or a cluster may set to anything."""
    value = st.one_of(st.sampled_from([one for one in HOSTILE if "\0" not in one]), st.sampled_from(("80", "1", "C")))
    names = ("COLUMNS", "LINES", "LANG", "LC_ALL", "TERM", "NO_COLOR", "FORCE_COLOR", "HOME", "XDG_CACHE_HOME", "TZ")
    return st.dictionaries(st.sampled_from(names), value, max_size=3)


def addresses() -> st.SearchStrategy:
    """Values of RAY_ADDRESS at which no Ray is."""
    places = (
        "",
        "auto",
        "local",
        "127.0.0.1:1",
        "ray://127.0.0.1:1",
        "localhost:2",
        "[::1]:1",
        "127.0.0.1:99999",
        "::1",
    )
    return st.one_of(st.sampled_from(places), words, st.integers(-1, 70000).map(lambda port: f"127.0.0.1:{port}x"))


# Tables

NAMES = ("source", "edit", "instruction", "id", "task", "mask", "turns", "input_image", "prompt", "0", "", "a.b")
PATHS = ("s.png", "t.png", "none.png", "../x", "/etc/passwd", "here", "http://x/y.png", "file:///etc/passwd", "x::y")
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(PATHS),
    st.sampled_from(("make it red", "<image>\n", "&amp;", "\ud800", "data:image/png;base64,AAAA", "A" * 70)),
)
values = st.recursive(
    leaves,
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=4), some, max_size=3),
    max_leaves=6,
)
plain = st.fixed_dictionaries(
    {"source": st.just("s.png"), "edit": st.sampled_from(PATHS), "instruction": st.just("make it red")}
)
KEYS = ("optim", "recipe", "step", "loss", "run", "not_finite")  # of files that a run leaves
objects = st.one_of(
    plain, plain, plain.flatmap(lambda row: values.map(lambda value: row | {"id": value})), values,
    st.dictionaries(st.sampled_from((*NAMES, *KEYS)), values, max_size=5),
)  # fmt: skip


def _dumped(value: object) -> bytes:
    return json.dumps(value).encode()


def _damaged(data: bytes) -> st.SearchStrategy:
    """The same, cut, or with some bytes changed, or with something before or behind it."""
    at = st.integers(0, max(0, len(data) - 1))
    cut = at.map(lambda end: data[:end])
    changed = st.tuples(at, st.binary(min_size=1, max_size=4)).map(
        lambda c: data[: c[0]] + c[1] + data[c[0] + len(c[1]) :]
    )
    around = st.sampled_from((b"\xef\xbb\xbf" + data, data + b"\0", b"\n" + data, data * 2, b"\x1f\x8b" + data))
    return st.one_of(st.just(data), st.just(data), cut, changed, around)


json_bytes = st.one_of(
    objects.map(_dumped),
    objects.map(_dumped).flatmap(_damaged),
    st.sampled_from((b"", b"null", b"[]", b"{}", b"[" * 3000, b'{"a":' * 3000, b"NaN", b'{"a": 1e999}', b'"\xff"')),
)
COLUMNS = (
    (pa.string(), st.one_of(st.sampled_from(PATHS), st.text(st.characters(exclude_categories=["Cs"]), max_size=9))),
    (pa.binary(), st.deferred(lambda: picture_bytes())),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.float64(), st.floats()),
    (pa.list_(pa.string()), st.lists(st.sampled_from(("make it red", "", " ")), max_size=3)),
    (
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
        st.fixed_dictionaries({"path": st.sampled_from(PATHS)}),
    ),
    (pa.bool_(), st.booleans()),
    (pa.null(), st.none()),
)


def table(draw: Callable, folder: Path) -> tuple[Path, int | None]:
    """Writes a table of some form; returns its file, and how many rows it has where that is known."""
    Image.new("RGB", (16, 16), "red").save(folder / "s.png")
    (folder / "t.png").write_bytes(draw(picture_bytes()))
    kind = draw(st.sampled_from(("parquet", "parquet", "jsonl", "jsonl", "json", "csv", "tar")))
    path = folder / f"a.{kind}"
    if kind == "parquet":
        return path, _parquet(draw, path)
    rows = draw(st.lists(objects, max_size=4))
    if kind == "jsonl":
        lines = [draw(_damaged(_dumped(row))) if draw(st.booleans()) else _dumped(row) for row in rows]
        path.write_bytes(b"\n".join(lines))
        return path, sum(bool(line.strip()) for line in b"\n".join(lines).split(b"\n"))
    if kind == "json":
        whole = draw(st.booleans())
        path.write_bytes(_dumped(rows) if whole else draw(_damaged(_dumped(rows))))
        return path, len(rows) if whole else None
    if kind == "csv":
        text = io.StringIO()
        csv.writer(text).writerows(
            [
                ("source", "edit", "instruction"),
                *(map(str, row.values()) for row in rows if row and isinstance(row, dict)),
            ]
        )
        path.write_bytes(draw(_damaged(text.getvalue().encode("utf-8", "surrogatepass"))))
        return path, None
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for number, row in enumerate(rows):
            for ending, data in (("json", _dumped(row)), ("jpg", draw(picture_bytes()))):
                info = tarfile.TarInfo(f"{number}.{ending}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    path.write_bytes(draw(_damaged(packed.getvalue())))
    return path, None


def _parquet(draw: Callable, path: Path) -> int | None:
    rows = draw(st.integers(0, 4))
    columns = {}
    for name in ("source", "edit", "instruction", *draw(st.lists(st.sampled_from(NAMES), max_size=2))):
        if name and draw(st.integers(0, 9)):
            kind, some = draw(st.sampled_from(COLUMNS))
            columns[name] = pa.array([draw(st.none() | some) for _ in range(rows)], type=kind)
    if not columns:
        columns["x"] = pa.array([1] * rows)
    pq.write_table(pa.table(columns), path, row_group_size=max(1, rows - 1))
    if draw(st.integers(0, 3)):
        return rows if {"source", "edit", "instruction"} <= columns.keys() else None
    path.write_bytes(draw(_damaged(path.read_bytes())))
    return None


# Pictures and weights


@cache
def _pictures() -> tuple[bytes, ...]:
    found = []
    for size in SIZES:
        image = Image.effect_noise(size, 90)
        for mode, kind in (
            *(("RGB", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("LA", "PNG"), ("1", "PNG"), ("I;16", "PNG")),
            *(("RGB", "JPEG"), ("CMYK", "JPEG"), ("L", "JPEG"), ("RGB", "WEBP"), ("RGBA", "WEBP"), ("P", "GIF")),
            *(("RGB", "BMP"), ("RGB", "TIFF"), ("F", "TIFF"), ("CMYK", "TIFF"), ("RGB", "PPM"), ("RGB", "ICO")),
        ):
            file = io.BytesIO()
            image.convert("I" if mode == "I;16" else mode).convert(mode).save(file, kind)
            found.append(file.getvalue())
    turned, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4)).save(turned, "JPEG", exif=exif)
    bomb = io.BytesIO()
    Image.new("1", (20000, 20000)).save(bomb, "PNG")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.png", found[0])
    return (
        *found,
        turned.getvalue(),
        bomb.getvalue(),
        packed.getvalue(),
        b"",
        b"<svg/>",
        b"%PDF-1.4",
        b"\x89PNG\r\n\x1a\n",
    )


def picture_bytes() -> st.SearchStrategy:
    """The bytes of a picture of some format, whole or damaged, or of something else."""
    some = st.sampled_from(_pictures())
    return st.one_of(some, some.flatmap(_damaged), some.flatmap(_damaged), st.binary(max_size=40))


def header_size(data: bytes) -> tuple[int, int]:
    """The width and height that a picture's own header says."""
    with Image.open(io.BytesIO(data)) as image:
        return image.size


@cache
def layers() -> dict:
    """Two linear layers under names of Wan's in diffusers."""
    from torch import nn

    return {f"blocks.0.attn1.{name}": nn.Linear(6, 6) for name in ("to_q", "to_out.0")}


@cache
def _loras() -> tuple[bytes, ...]:
    import torch
    from safetensors.torch import save

    found = []
    for named in (
        "transformer.blocks.0.attn1.to_q",
        "diffusion_model.blocks.0.self_attn.o",
        "lora_unet_blocks_0_self_attn_q",
    ):
        for a, b in (("lora_A", "lora_B"), ("lora_down", "lora_up")):
            for width, alpha in ((6, 2.0), (6, float("nan")), (5, None)):
                weights = {f"{named}.{a}.weight": torch.ones(2, width), f"{named}.{b}.weight": torch.ones(6, 2)}
                weights |= {} if alpha is None else {f"{named}.alpha": torch.tensor(alpha)}
                found.append(save(weights, metadata={"lora_adapter_metadata": "{}" if alpha else "no json"}))
    return tuple(found)


def lora_bytes() -> st.SearchStrategy:
    """The bytes of a LoRA's file, whole or damaged."""
    return st.one_of(st.sampled_from(_loras()), st.sampled_from(_loras()).flatmap(_damaged), st.binary(max_size=30))
