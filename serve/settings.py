"""The settings of a server: one frozen dataclass, from the arguments of the app builder and the environment."""

import base64
import binascii
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal

from limits import parse as parse_rate
from pydantic import TypeAdapter, ValidationError

from v4e.config.checks import AT_LEAST_1, NOT_NEGATIVE, POSITIVE, check, require
from v4e.files.database import on_server
from v4e.wan import check_frames
from v4e.weights.student import card

if TYPE_CHECKING:
    from v4e.editing.inexact import Inexact

PREFIX = "V4E_SERVE_"
SECRET = ("keys", "webhook_secret", "state")
UNKNOWN_PIXELS = 128 * 128  # of the grid of a model that nobody said more of
Outside = Literal["off", "public", "any"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings, each an argument ``name=value`` of the app and a variable ``V4E_SERVE_NAME``; the former wins."""

    model: str = ""  # a folder that export.py wrote, or any Wan I2V pipeline; "" is the student that comes with v4e
    model_name: str = "v4e"  # what clients call it
    aliases: str = ""  # other names for it, separated by commas: some clients always ask for gpt-image-1
    dtype: Literal["float32", "bfloat16"] = "float32"
    attention: str = "native"  # as models.attention of a run
    loras: str = ""  # adapters that requests may name: name=file,name=file
    threads: int = 1  # CPU threads of a replica's model
    cache_mib: int = 256  # of encodings that a replica keeps, for sources and texts that come again
    gpus: float = 0.0  # of a replica
    step_cache: float = 0.0  # this and the next five are not exact; v4e/editing/inexact.py says what each does
    weights: Literal["", "int8", "fp8"] = ""
    gguf: str = ""
    compile: bool = False
    bf16_decode: bool = False
    tiles: bool = False
    away: Literal["", "models", "blocks"] = ""  # what leaves the GPU between its uses, for small ones; exact

    max_pixels: int = 0  # of the model's grid; larger images are edited at this area and brought back; 0: as `area`
    steps: int = 8
    max_steps: int = 50
    frames: int = 5
    max_frames: int = 81
    guidance: float = 1.0
    warm: str = "64x64,128x128"  # WIDTHxHEIGHT buckets that a replica edits once before it is ready

    fronts: int = 1  # that take requests; more than one share a database (see state)
    replicas: int = 1  # at least
    max_replicas: int = 1  # above `replicas`, Serve adds some while edits wait
    upscale_s: float = 10.0  # how long edits must wait before Serve adds a replica
    downscale_s: float = 300.0  # how long a replica must be superfluous before Serve stops it
    waiting: int = 64  # edits that may wait for a replica; then 429
    waiting_pixels: int = 400_000_000  # of the pictures of all edits, waiting and running; then 429
    per_key: int = 16  # edits of one key, waiting and running
    rate: str = ""  # requests of one key, e.g. 60/minute; "" is no limit
    deadline_s: float = 600.0  # of a request from its arrival, of a job from its turn; both may set a shorter one
    attempts: int = 3  # replicas that an edit is given to if they die under it
    stall_s: float = 300.0  # a replica whose model makes no step for this long is replaced
    drain_s: float = 60.0  # time for running edits when a replica stops; after it, another replica makes them again
    surge: bool = False  # a redeploy starts new replicas before old ones stop, and waits until there is room for them

    sign: Literal["off", "hash", "text"] = "off"  # results, with the instruction's hash or text; a request may differ
    signer: str = ""  # PEM file of a key and its certificates; "" is a signer of this machine, for tests

    upload_mib: float = 20.0  # of one request's body
    source_pixels: int = 40_000_000  # of one picture, before it is decoded
    urls: Outside = "off"  # pictures by URL: off, public = addresses of the internet only, any = also private ones
    webhooks: Outside = "off"  # the same, for URLs that receive the end of a job
    webhook_secret: str = field(default="", repr=False)  # signs webhooks: whsec_<base64 of at least 24 bytes>
    keys: str = field(default="", repr=False)  # lines of a keys file, separated by commas
    keys_file: str = ""  # what `python -m serve.keys NAME` printed, one key a line

    origins: str = ""  # whose pages may ask with a key, separated by commas: https://a.example, or * for any
    hosts: str = ""  # names beside localhost that it answers to without keys, e.g. host.docker.internal
    public_url: str = ""  # where clients find it behind a proxy, e.g. https://a.example/v4e; for addresses in answers

    # Of jobs and results: a folder, or the address of a database, postgresql://USER:PASSWORD@HOST/NAME
    state: str = field(default="runs/serve", repr=False)
    state_mib: float = 1024.0  # of results, the oldest are deleted first; and of unfinished jobs' pictures
    ttl_s: float = 86_400.0  # of jobs and results

    def __post_init__(self):
        at_least_1 = (
            "threads",
            "fronts",
            "steps",
            "replicas",
            "attempts",
            "per_key",
            "source_pixels",
            "waiting_pixels",
        )
        seconds = ("deadline_s", "stall_s", "drain_s", "upscale_s", "downscale_s", "ttl_s")
        check(self, AT_LEAST_1, *at_least_1, "source_pixels", "waiting_pixels")
        check(self, POSITIVE, *seconds, "upload_mib", "state_mib")
        check(self, NOT_NEGATIVE, "gpus", "waiting", "guidance", "cache_mib")
        require(
            self.max_pixels == 0 or self.max_pixels >= 256,
            f"settings.max_pixels={self.max_pixels} must be at least 256, one 16 x 16 cell",
        )
        require(self.max_steps >= self.steps, f"settings.max_steps={self.max_steps} is below steps={self.steps}")
        check_frames("settings.frames", self.frames)
        require(self.max_frames >= self.frames, f"settings.max_frames={self.max_frames} is below frames={self.frames}")
        require(
            self.max_replicas >= self.replicas,
            f"settings.max_replicas={self.max_replicas} is below replicas={self.replicas}: set max_replicas higher",
        )
        require(
            self.fronts == 1 or on_server(self.state),
            f"settings.fronts={self.fronts} may lie on several nodes: set state=postgresql://... for all of them",
        )
        require(bool(self.model_name.strip()), "settings.model_name is empty: expected a name that clients send")
        require(
            self.webhooks == "off" or _is_secret(self.webhook_secret),
            "settings.webhooks needs settings.webhook_secret, whsec_ and at least 24 random bytes in base64, so that "
            "receivers can tell who speaks",
        )
        require(not self.origins or bool(self.keys or self.keys_file), "settings.origins needs keys: set keys_file")
        require(
            not self.public_url or self.public_url.startswith(("http://", "https://")),
            f"settings.public_url={self.public_url}: expected an address such as https://a.example/v4e",
        )
        if self.rate:
            try:
                parse_rate(self.rate)
            except ValueError as error:
                raise ValueError(f"settings.rate={self.rate!r}: expected a rate such as 60/minute ({error})") from None
        _ = self.warm_sizes, self.adapters
        try:
            _ = self.inexact
        except ValueError as error:
            raise ValueError(f"settings.{error}") from None

    @property
    def area(self) -> int:
        """The pixels of the model's grid: `max_pixels`, or what the student that comes with v4e was trained on."""
        return self.max_pixels or (UNKNOWN_PIXELS if self.model else card().max_pixels)

    @property
    def warm_sizes(self) -> list[tuple[int, int]]:
        """The (width, height) of each bucket of `warm`."""
        sizes = []
        for text in listed(self.warm):
            match = re.fullmatch(r"(\d+)x(\d+)", text)
            require(match is not None, f"settings.warm: {text!r} is no size: expected WIDTHxHEIGHT, e.g. 128x128")
            assert match is not None
            sizes.append((int(match[1]), int(match[2])))
        return sizes

    @property
    def names(self) -> list[str]:
        """The names by which clients may call the model, its own first."""
        return list(dict.fromkeys([self.model_name, *listed(self.aliases)]))

    @property
    def adapters(self) -> dict[str, str]:
        """The adapter files by name, from `loras`."""
        pairs = [part.partition("=") for part in listed(self.loras)]
        for name, eq, file in pairs:
            require(bool(name and eq and file), f"settings.loras: {name!r}: expected name=file,name=file")
        return {name: file for name, _, file in pairs}

    @property
    def inexact(self) -> "Inexact":
        """The options in use that change pixels."""
        from v4e.editing.inexact import (
            Inexact,  # with torch and diffusers: `python -m serve.keys` need not wait for them
        )

        return Inexact(**{field.name: getattr(self, field.name) for field in fields(Inexact)})

    @property
    def upload_bytes(self) -> int:
        return int(self.upload_mib * 2**20)


def listed(text: str) -> list[str]:
    """Returns the parts of a list that is separated by commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _is_secret(text: str) -> bool:
    try:
        return text.startswith("whsec_") and len(base64.b64decode(text.removeprefix("whsec_"), validate=True)) >= 24
    except binascii.Error:
        return False


def settings_from(args: Mapping[str, object], environ: Mapping[str, str] = os.environ) -> Settings:
    """Returns the settings from the app builder's `args`, which override the environment's variables.

    Raises:
        ValueError: one line that names the setting, what was got and what was expected.
    """
    names = [f.name for f in fields(Settings)]
    unknown = sorted(set(args) - set(names)) + sorted(
        name for name in environ if name.startswith(PREFIX) and name.removeprefix(PREFIX).lower() not in names
    )
    require(not unknown, f"unknown setting {', '.join(unknown)}: expected among {', '.join(names)}")
    given = {n: environ[PREFIX + n.upper()] for n in names if PREFIX + n.upper() in environ} | dict(args)
    try:
        checked = TypeAdapter(Settings).validate_python(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = first["loc"][0] if first["loc"] else ""
        text = str(first["msg"]).removeprefix("Value error, ")
        # The wrong value may be a secret: it is not repeated.
        got = "" if not name or name in SECRET else f"settings.{name}={given.get(str(name))!r}: "
        raise ValueError(got + text) from None
    return checked
