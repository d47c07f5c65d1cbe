"""Checks the content credentials of an edit, and derives the edit again if its source is given.

v4e verify out.png trust=roots.pem
v4e verify out.png source=photo.jpg model=runs/demo/export/ema
"""

import io
from pathlib import Path

from PIL import Image

from v4e.config.commands import VerifyOptions
from v4e.files import credentials
from v4e.files.credentials import Credentials, SignedTurn
from v4e.files.images import mime_of, open_image, sized
from v4e.files.masks import open_mask
from v4e.files.results import encode

NOBODY = "not one of those in trust=FILE.pem"
AI = {
    "trainedAlgorithmicMedia": "all of it may be made by AI",
    "compositeWithTrainedAlgorithmicMedia": "a part of it is made by AI",
    "": "no pixel is made by AI",
}


def run(options: VerifyOptions) -> None:
    """Print what the credentials of a file say, and whether they hold.

    Raises:
        ValueError: they do not hold, there are none, or the edit cannot be derived to the bit.
    """
    if not credentials.installed():
        raise ValueError(credentials.NEEDED)
    blob, trust = _bytes(options.file), _bytes(options.trust).decode(errors="replace") if options.trust else ""
    found = credentials.read(blob, _mime(options.file, blob), trust)
    _check(options, found)
    for number, turn in enumerate(found.turns):
        _tell(turn, "edit" if number == 0 else f"{number} before")
    whose = "of those that you trust" if found.state == "trusted" else "whom you have not said to trust: trust=FILE.pem"
    print(f"the file is as it was signed, by {found.turns[0].signer!r}, {whose}")
    if options.source:
        _derive(options, found.turns[0], blob)


def _check(options: VerifyOptions, found: Credentials) -> None:
    name = options.file
    if found.state == "none":
        raise ValueError(f"{name}: it has no content credentials: expected a file that was made with sign=")
    if found.state == "invalid":
        raise ValueError(f"{name}: its content credentials do not hold: {', '.join(found.problems)}")
    if options.trust and found.state != "trusted":
        raise ValueError(f"{name}: it was signed by {found.turns[0].signer!r}, {NOBODY}")


def _tell(turn: SignedTurn, name: str) -> None:
    said = turn.record
    settings = said.get("settings")
    steps = settings.get("steps") if isinstance(settings, dict) else None
    what = said.get("instruction") or f"words of hash {str(said.get('words_sha256'))[:16]}"
    print(f"{name}: {what!r}, seed {said.get('seed')}, {steps} steps; {AI.get(turn.ai, turn.ai)}")
    print(f"  model {said.get('model')!r}, weights {str(said.get('weights_sha256'))[:16]}, on {said.get('made_on')}")


def _derive(options: VerifyOptions, turn: SignedTurn, blob: bytes) -> None:
    from v4e.editing.editor import Editor  # here, so that what is wrong with the file is reported at once
    from v4e.editing.inexact import Inexact
    from v4e.editing.record import derived, differing, made_on, record_of, with_words
    from v4e.weights.digest import adapter_sha256, weights_sha256
    from v4e.weights.load import DTYPES

    record = with_words(record_of(turn.record), options.instruction, options.negative)
    size = record.width, record.height
    source = open_image(options.source)
    mask = sized(open_mask(options.mask, source.size), size) if options.mask else None
    source = sized(source, size)
    packed = next((name for name in record.how if name.startswith("gguf=")), "")
    if bool(packed) != bool(options.gguf):
        raise ValueError(f"this edit had {packed or 'no GGUF file'}: {'give' if packed else 'leave out'} gguf=")
    for name, got, said in (
        ("model", weights_sha256(options.model, options.gguf), record.weights_sha256),
        ("lora", adapter_sha256(options.lora) if options.lora else None, record.lora_sha256),
    ):
        if got != said:
            raise ValueError(f"{name}: its weights are {str(got)[:16]}, the edit was made with {str(said)[:16]}")
    if record.dtype not in DTYPES:
        raise ValueError(f"record: dtype={record.dtype!r}: expected one of {', '.join(DTYPES)}")
    editor = Editor.load(
        options.model,
        dtype=DTYPES[record.dtype],
        attention=record.attention,
        fold_pad=record.attention == "native",
        loras={options.lora: options.lora} if options.lora else {},
        options=Inexact(gguf=options.gguf),
    )
    again = derived(editor, record, source, mask, options.lora)
    there = Image.open(io.BytesIO(blob))
    if getattr(there, "is_animated", False) or there.size != size:
        raise ValueError(f"{options.file}: only a picture is derived again: expected {size[0]}x{size[1]} pixels")
    stored = Image.open(io.BytesIO(encode(again.image, record.form, record.quality))).convert("RGB")
    if differ := differing(stored, there.convert("RGB")):
        here = made_on(editor.device)
        raise ValueError(
            f"{options.file}: derived again, {differ} of {size[0] * size[1]} pixels differ: either it is not "
            f"what its record says, or {here} rounds otherwise than {record.made_on}"
        )
    print(f"derived again from {options.source}: all {size[0] * size[1]} pixels are equal to the bit")


def _mime(name: str, blob: bytes) -> str:
    if Path(name).suffix.lower() == ".mp4":
        return "video/mp4"
    try:
        return mime_of(blob)
    except (OSError, SyntaxError, TypeError, ValueError, Image.DecompressionBombError):
        raise ValueError(f"{name}: it is no picture: expected a .png, .jpg, .webp or .mp4") from None


def _bytes(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{name}: no such file") from None
