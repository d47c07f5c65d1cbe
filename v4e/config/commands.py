"""Options of the commands that are not about a run: ``v4e edit photo.jpg "make it red" -o out.png seed=1``.

An option without a default is given by its place, all others as ``key=value``.
"""

import re
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal, TypeVar, get_type_hints

from v4e.config.command_line import nearest, read_value, written
from v4e.config.setting import help_of

T = TypeVar("T")
OUT = "-o"  # the flag that people expect of a program that writes a file: out=


def option(default: Any, help: str) -> Any:
    """A field with its help."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class EditOptions:
    """Options of ``v4e edit``."""

    image: str = option(MISSING, "a picture file")
    instruction: str = option(MISSING, 'what to change, such as "make the car blue"')
    out: str = option("", "file for the edit, also -o FILE: .png, .jpg or .webp")
    clip: str = option("", "file for the evolution: .mp4, .gif or .webp")
    strip: str = option("", "file for a picture of the evolution: source, frames, edit")
    example: int = option(0, "one of the pictures and instructions that come with v4e, from 1; also --example")
    model: str = option("", "a pipeline folder or hub id; empty = the tiny student that comes with v4e")
    dtype: Literal["float32", "bfloat16"] = option("float32", "compute dtype")
    size: str = option("", "WIDTHxHEIGHT in the model; empty = the picture's aspect at max_pixels")
    max_pixels: int = option(0, "area in the model; 0 = 32 x 32 with v4e's own student, else 832 x 480")
    seed: int = option(0, "seed of the noise; -1 draws one and says which")
    steps: int = option(8, "sampling steps")
    guidance: float = option(1.0, "classifier-free guidance; 1 needs half the time")
    negative: str = option("", "text that guidance above 1 leads away from")
    frames: int = option(5, "pixel frames of the clip: 5, 9, 13, ...")
    solver: Literal["euler", "unipc"] = option("euler", "solver of the sampling ODE")
    middle_steps: int = option(0, "steps after which the frames between source and edit are dropped; 0 = never")
    lora: str = option("", "a LoRA's .safetensors file or folder")
    mask: str = option("", "a picture, transparent or white where to edit; the rest stays to the bit")
    preserve: Literal["off", "auto"] = option("off", "auto: what the edit does not change stays to the bit")
    region: str = option("", "file for the edited region as a mask: .png")
    hold: bool = option(False, "the model too sees the source outside the mask, at each step")
    crop: bool = option(
        False, "edit the part around the mask, or else around what a first edit changes, at its own size"
    )
    strength: float = option(1.0, "how far the evolution goes: 0 is the source, 1 the edit")
    sign: Literal["off", "hash", "text"] = option(
        "off", "content credentials in OUT, with the hash or the text of the instruction; needs c2pa-python"
    )
    signer: str = option("", "PEM file of a key and its certificates that sign; empty = one of this machine, for tests")
    fps: int = option(8, "frames a second of the clip")
    threads: int = option(0, "CPU threads; 0 = one for each core")
    step_cache: float = option(0.0, "not exact: skip blocks whose input changed by less than this share")
    weights: Literal["", "int8", "fp8"] = option("", "not exact: quantized weights; needs torchao and a GPU")
    gguf: str = option("", "not exact: file of the DiT's quantized weights (.gguf) in place of the model's")
    compile: bool = option(False, "not exact to the bit: torch.compile of the blocks")
    bf16_decode: bool = option(False, "not exact: the VAE decodes in bfloat16")
    tiles: bool = option(False, "not exact: the VAE works in tiles of 256 pixels, for large pictures on small GPUs")
    away: Literal["", "models", "blocks"] = option(
        "", "what leaves the GPU between its uses: models, one at a time, or the DiT's blocks too; exact and slower"
    )


@dataclass(frozen=True)
class VerifyOptions:
    """Options of ``v4e verify``."""

    file: str = option(MISSING, "a signed picture or clip: .png, .jpg, .webp or .mp4")
    trust: str = option("", "PEM file of certificates that you trust; a file signed by any other is refused")
    source: str = option("", "the picture that was edited: the edit is derived again from it and compared to the bit")
    mask: str = option("", "the mask that was edited by, if there was one")
    model: str = option("", "the pipeline folder or hub id that edited; empty = the tiny student that comes with v4e")
    lora: str = option("", "the LoRA's file or folder, if there was one")
    gguf: str = option("", "the .gguf file of the DiT's weights, if there was one")
    instruction: str = option("", "the instruction, where the file tells its hash alone")
    negative: str = option("", "the negative text, where the file tells its hash alone")


@dataclass(frozen=True)
class PlanEditOptions:
    """Options of ``v4e plan edit``."""

    gpu: str = option("rtx4090", "GPU type, such as rtx4090, rtx3090, l4 or h100")
    gpu_gib: float = option(0.0, "memory of the GPU in GiB; 0 = that of gpu")
    size: str = option("832x480", "WIDTHxHEIGHT in the model")
    frames: int = option(5, "pixel frames of the clip: 5, 9, 13, ...")
    steps: int = option(8, "sampling steps")
    guidance: float = option(1.0, "classifier-free guidance; 1 needs half the time")
    middle_steps: int = option(0, "steps after which the frames between source and edit are dropped; 0 = never")
    json: bool = option(False, "whether to print the plan as JSON, for programs")


@dataclass(frozen=True)
class CaptionTextOptions:
    """Options of ``v4e caption "make it red"``."""

    instruction: str = option(MISSING, 'what to change, such as "make the car blue"')


@dataclass(frozen=True)
class WorldOptions:
    """Options of ``v4e world``."""

    sheet: str = option("", "write a contact sheet to this PNG")
    out: str = option("", "write <split>.parquet below this folder, in OmniEdit's schema")
    split: Literal["train", "val", "heldout"] = option("train", "part of the world")
    per_task: int = option(2, "edits of each of the 11 tasks")
    seed: int = option(0, "seed of the scenes")
    vae: str = option("", "folder of a trained VAE, which stays as it is, such as v4e/assets/world2/tiny-wan-i2v/vae")
    world: Literal["world", "world2"] = option("world", "the evolution world, or World 2, whose edits may be open")


@dataclass(frozen=True)
class ConvertOptions:
    """Options of ``v4e convert``."""

    original: str = option(MISSING, "folder or hub id of the model in Wan's original layout, or one file of ComfyUI's")
    encoders: str = option(MISSING, "a diffusers pipeline, folder or hub id, to take all else from; - for a file OUT")
    out: str = option(MISSING, "the pipeline folder to write, or FILE.safetensors of the pipeline ORIGINAL for ComfyUI")
    dtype: Literal["float32", "bfloat16", "fp8"] = option("bfloat16", "dtype of the weights; fp8 for a file OUT only")


@dataclass(frozen=True)
class FixturesOptions:
    """Options of ``v4e fixtures``."""

    out: str = option(MISSING, "folder to write to")
    kind: Literal["corpora", "benchmarks"] = option("corpora", "whose schemas and layouts to write")
    rows: int = option(2, "rows of each group of a benchmark")


@dataclass(frozen=True)
class DataOptions:
    """Options of ``v4e data``."""

    what: Literal["look"] = option(MISSING, "look: show what files hold and how they would be read")
    path: str = option(MISSING, "Parquet, JSON Lines, JSON, CSV or tar: a file, a folder or a glob")
    columns: tuple[str, ...] = option((), "columns by their roles, as of ingest.columns")
    pictures: int = option(12, "pictures on the page")
    max_pixels: int = option(64_000_000, "largest picture that is decoded, in pixels")
    out: str = option("look.html", "file for the page")


@dataclass(frozen=True)
class PhotosOptions:
    """Options of ``v4e photos``."""

    out: str = option(MISSING, "folder for train.parquet, heldout.parquet and sheet.png")
    photos: str = option("", "folder of PNG, JPEG or WebP files; empty = the photographs inside scikit-image")
    per_task: int = option(4, "edits of each task of each photograph")
    seed: int = option(0, "seed of crops and edits")


@dataclass(frozen=True)
class LeakageOptions:
    """Options of ``v4e leakage``."""

    prompts: str = option(MISSING, "a text file, one instruction a line")
    hashes: str = option(MISSING, "file for their hashes, for ingest.refuse")


@dataclass(frozen=True)
class PretrainOptions:
    """Options of ``v4e pretrain``."""

    work: str = option("work", "folder for the corpus and the checkpoints")
    out: str = option("v4e/assets", "folder for the two pipeline folders")
    workers: int = option(2, "processes of one thread")
    clips: int = option(48_000, "clips of the corpus, for the VAE")
    latents: int = option(48_000, "clips that the DiTs are trained on")
    vae_steps: int = option(6_000, "training steps of the VAE")
    base_steps: int = option(30_000, "training steps of the I2V base")
    teacher_steps: int = option(6_000, "training steps of the FLF2V teacher")
    start_from: str = option("", "folder of an earlier run's out, to train on from; vae_steps=0 keeps its VAE")
    vae: str = option("", "folder of a trained VAE, which stays as it is, such as v4e/assets/world2/tiny-wan-i2v/vae")
    world: Literal["world", "world2"] = option("world", "what the clips show: the evolution world, or World 2")
    pixels: int = option(0, "side of a clip in pixels; 0 = the world's own, 32")
    frames: int = option(0, "pixel frames of a clip; 0 = the world's own, 5 or 9")
    stride: int = option(0, "pixels along a latent's side, 4 or 8; 0 = the world's own")
    z: int = option(0, "channels of a latent; 0 = the world's own, 16")
    base: int = option(0, "channels of the VAE's first layer; 0 = the world's own, 16")
    fast: bool = option(False, "compile the DiT's blocks and multiply in bfloat16: twice the clips a second with AMX")
    until: Literal["vae", "all"] = option("all", "the last stage to make: the VAE, or all of them")


INSTEAD = {"example"}  # of which one stands for all places


@dataclass(frozen=True)
class RunsOptions:
    """Options of ``v4e runs``."""

    where: str = option("runs", "folder or URI of a run or of several")


@dataclass(frozen=True)
class RunsCleanOptions:
    """Options of ``v4e runs clean``."""

    where: str = option("runs", "folder or URI of a run or of several")
    remove: bool = option(False, "whether to remove what is shown")


def name_of(kind: type) -> str:
    """Returns the command of a class of options, with an underscore between its words."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__.removesuffix("Options")).lower()


KINDS = (
    *(EditOptions, VerifyOptions, PlanEditOptions, WorldOptions, DataOptions, PhotosOptions, ConvertOptions),
    *(FixturesOptions, LeakageOptions, PretrainOptions, CaptionTextOptions, RunsOptions, RunsCleanOptions),
)
OPTIONS = {name_of(kind): kind for kind in KINDS}


def read_options(kind: type[T], argv: list[str]) -> T:
    """Reads ``["photo.jpg", "make it red", "-o", "out.png", "seed=1"]`` as options of `kind`.

    Raises:
        ValueError: names the bad argument and what was expected, in one line.
    """
    hints, places = get_type_hints(kind), _places(kind)
    texts: dict[str, str] = {}
    rest = list(argv)
    while rest:
        argument = rest.pop(0)
        key, equals, value = argument.partition("=")
        if argument == OUT and "out" in hints:
            if not rest:
                raise ValueError(f"{OUT} stands last: expected a file after it")
            key, value = "out", rest.pop(0)
        elif not (equals and key in hints):
            free = [name for name in places if name not in texts]
            if argument.startswith("-") or not free:
                near = nearest(key.lstrip("-").replace("-", "_"), list(hints))
                raise ValueError(f"{argument!r}: {near}; expected key=value, --help lists the keys")
            key, value = free[0], argument
        if key in texts:
            raise ValueError(f"{key} is given twice, {texts[key]!r} and {value!r}: expected once")
        texts[key] = value
    if INSTEAD & texts.keys():
        texts = dict.fromkeys(places, "") | texts
    if missing := [name for name in places if name not in texts]:
        raise ValueError(f"{missing[0].upper()} is missing; {usage(kind)}")
    return kind(**{key: read_value(key, text, hints[key]) for key, text in texts.items()})


def usage(kind: type) -> str:
    """Returns the command line of `kind` in one line."""
    keys = "[key=value ...]" if len(_places(kind)) < len(fields(kind)) else ""
    return " ".join(["usage: v4e", name_of(kind).replace("_", " "), *map(str.upper, _places(kind)), keys]).rstrip()


def describe_options(kind: type) -> str:
    """Returns all options with their defaults and help: the body of ``--help``."""
    return "\n".join(f"  {shown:22} {help}" for shown, help in rows(kind))


def rows(kind: type) -> list[tuple[str, str]]:
    """Returns each option as a user writes it, with its default, and its help."""
    shown = (f.name.upper() if f.default is MISSING else f"{f.name}={written(f.default)}" for f in fields(kind))
    return [(how, help_of(f)) for how, f in zip(shown, fields(kind), strict=True)]


def _places(kind: type) -> list[str]:
    """Returns the names of the options that have no default."""
    return [f.name for f in fields(kind) if f.default is MISSING]
