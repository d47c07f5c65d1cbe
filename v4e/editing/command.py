"""The command ``edit``: a picture and an instruction in, the edited picture and its evolution out."""

import argparse
import sys
import time
from pathlib import Path
from typing import Literal, cast

import torch
from PIL import Image

from v4e.editing.inexact import Inexact
from v4e.files.images import grid_size, open_image
from v4e.files.pictures import named_strip
from v4e.files.video import FORMS, write_clip

TINY = Path(__file__).parent.parent / "assets" / "tiny-wan-i2v"
TINY_PIXELS, WAN_PIXELS = 128 * 128, 832 * 480
PICTURES = (".png", ".jpg", ".jpeg", ".webp")


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m v4e", description="Edits a picture on this machine.")
    commands = top.add_subparsers(dest="command", required=True, metavar="edit")
    edit = commands.add_parser("edit", help="edit a picture by an instruction")
    edit.add_argument("image", help="a picture file")
    edit.add_argument("instruction", help='what to change, such as "make the car blue"')
    edit.add_argument("-o", "--out", required=True, type=Path, help="where the edit goes: .png, .jpg or .webp")
    edit.add_argument("--clip", type=Path, help="where the evolution goes: .mp4, .gif or .webp")
    edit.add_argument("--strip", type=Path, help="where a picture of the evolution goes: source, frames, edit")
    edit.add_argument("--model", default=str(TINY), help="a pipeline folder or hub id; the tiny model by default")
    edit.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    edit.add_argument("--size", help="WIDTHxHEIGHT in the model; by default the picture's aspect at --max-pixels")
    edit.add_argument(
        "--max-pixels", type=int, help=f"area in the model: {TINY_PIXELS} with the tiny one, else {WAN_PIXELS}"
    )
    edit.add_argument("--seed", type=int, default=0)
    edit.add_argument("--steps", type=int, default=8)
    edit.add_argument("--guidance", type=float, default=1.0, help="1 needs half the time")
    edit.add_argument("--negative", help="what guidance other than 1 leads away from")
    edit.add_argument("--frames", type=int, default=5, help="5, 9, 13, ...")
    edit.add_argument("--solver", choices=("euler", "unipc"), default="euler")
    edit.add_argument("--lora", help="a LoRA's .safetensors file or folder")
    edit.add_argument("--fps", type=int, default=8, help="of the clip")
    edit.add_argument("--threads", type=int, help="of the CPU; as many as there are cores by default")
    edit.add_argument("--step-cache", type=float, default=0.0, help="not exact: share below which blocks are skipped")
    edit.add_argument("--weights", choices=("int8", "fp8"), default="", help="not exact: needs torchao and a GPU")
    edit.add_argument("--compile", action="store_true", help="not exact to the bit: torch.compile of the blocks")
    edit.add_argument("--bf16-decode", action="store_true", help="not exact")
    return top


def main(arguments: list[str]) -> int:
    """The exit status: 0, or 1 after a line that says what is wrong."""
    args = parser().parse_args(arguments)
    try:
        _edit(args)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _edit(args: argparse.Namespace) -> None:
    form = _check(args)
    image = open_image(args.image)
    options = Inexact(
        step_cache=args.step_cache, weights=args.weights, compile=args.compile, bf16_decode=args.bf16_decode
    )
    if args.threads:
        torch.set_num_threads(args.threads)

    from v4e.editing.editor import Editor  # here, so that what is wrong with the arguments is said at once

    start = time.monotonic()
    editor = Editor.load(
        args.model,
        dtype=getattr(torch, args.dtype),
        loras={} if args.lora is None else {args.lora: args.lora},
        options=options,
    )
    height, width = _size(args, image)
    _say(f"{args.image}: {image.width}x{image.height}, edited at {width}x{height}; {time.monotonic() - start:.1f} s")
    start = time.monotonic()

    def on_step(step: int, _x0_hat: torch.Tensor) -> None:
        _say(f"step {step + 1}/{args.steps}, {time.monotonic() - start:.1f} s")

    [edit] = editor.edit(
        [image],
        [args.instruction],
        seeds=[args.seed],
        height=height,
        width=width,
        frames=args.frames,
        steps=args.steps,
        guidance=args.guidance,
        negatives=None if args.negative is None else [args.negative],
        lora=args.lora,
        solver=args.solver,
        on_step=on_step,
    )
    edit.image.save(args.out)
    written = [str(args.out)]
    if args.clip is not None and form is not None:
        args.clip.write_bytes(write_clip(edit.clip, form, args.fps))
        written.append(str(args.clip))
    if args.strip is not None:
        named_strip([image, *edit.clip[1:]], ["source", *map(str, range(1, len(edit.clip)))]).save(args.strip)
        written.append(str(args.strip))
    how = f", not exact: {', '.join(edit.how)}" if edit.how else ""
    print(f"wrote {', '.join(written)} (seed {args.seed}, {time.monotonic() - start:.1f} s{how})")


def _check(args: argparse.Namespace) -> Literal["mp4", "gif", "webp"] | None:
    """Refuses, before a model is read, what could not be written; the clip's form."""
    for flag, path, kinds in (
        ("-o", args.out, PICTURES),
        ("--clip", args.clip, tuple(f".{form}" for form in FORMS)),
        ("--strip", args.strip, PICTURES),
    ):
        if path is None:
            continue
        if path.suffix.lower() not in kinds:
            raise ValueError(f"{flag} {path}: expected a name that ends in {', '.join(kinds)}")
        if not path.parent.is_dir():
            raise ValueError(f"{flag} {path}: {path.parent} is no folder: make it first, or choose another")
    if args.negative is not None and args.guidance == 1:
        raise ValueError("--negative does nothing without guidance: give --guidance above 1, such as 4")
    if args.fps < 1:
        raise ValueError(f"--fps {args.fps}: expected at least 1")
    if not args.instruction.strip():
        raise ValueError('the instruction is empty: say what to change, such as "make the car blue"')
    return None if args.clip is None else cast(Literal["mp4", "gif", "webp"], args.clip.suffix.lower()[1:])


def _size(args: argparse.Namespace, image: Image.Image) -> tuple[int, int]:
    """(height, width) in the model."""
    if args.size is None:
        default = TINY_PIXELS if args.model == str(TINY) else WAN_PIXELS
        return grid_size(image.width, image.height, args.max_pixels or default)
    width, by, height = args.size.partition("x")
    if not (by and width.isdecimal() and height.isdecimal()):
        raise ValueError(f"--size {args.size}: expected WIDTHxHEIGHT, such as 832x480")
    return int(height), int(width)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
