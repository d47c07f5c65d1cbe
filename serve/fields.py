"""The fields of a request, OpenAI's and ours: one model for multipart, JSON and the OpenAPI page."""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

SIZE = r"^(auto|[1-9]\d{1,4}[xX][1-9]\d{1,4})$"
Sign = Literal["off", "hash", "text"]
Text = Annotated[str, Field(max_length=32_000)]


class EditFields(BaseModel):
    """The fields of a request without its pictures."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    prompt: Text = Field(
        description="The instruction, e.g. make the car blue.", json_schema_extra={"minLength": 1, "pattern": r"\S"}
    )
    model: str | None = Field(None, max_length=256, description="A name from /v1/models; all mean the one model.")
    n: int = Field(1, ge=1, le=10, description="Edits, of seeds seed, seed + 1, ...")
    size: str = Field(
        "auto",
        description="auto: the source's. WIDTHxHEIGHT: the source is cropped to this aspect first. "
        "Sides are multiples of 16, the aspect lies between 1:3 and 3:1.",
        json_schema_extra={"pattern": SIZE},
    )
    quality: Literal["low", "medium", "high", "hd", "standard", "auto"] = Field(
        "auto", description="low: half the steps."
    )
    background: Literal["opaque", "auto", "transparent"] = "auto"
    input_fidelity: Literal["high", "low"] | None = Field(None, description="Without effect: it is always high.")
    moderation: Literal["auto", "low"] | None = Field(None, description="Without effect.")
    output_format: Literal["png", "jpeg", "webp"] = "png"
    output_compression: int = Field(100, ge=0, le=100, description="Quality of jpeg and webp; webp at 100 is lossless.")
    response_format: Literal["b64_json", "url"] = "b64_json"
    stream: bool = False
    partial_images: int = Field(0, ge=0, le=3, description="Previews in a stream, evenly spread over the steps.")
    user: str | None = Field(None, max_length=256, description="Without effect.")

    mask_from: Literal["alpha", "white", "image"] = Field(
        "alpha",
        description="Where to edit. alpha: where the mask is transparent, as OpenAI's. white: where the mask is white. "
        "image: where the image itself is transparent, without a mask.",
    )
    enhance: bool = Field(
        False, description="The model gets the prompt in plain words; revised_prompt says what was understood."
    )
    seed: int | None = Field(None, ge=-1, le=2**53 - 11, description="Random without, and for -1.")
    num_inference_steps: int | None = Field(None, ge=1)
    guidance_scale: float | None = Field(None, ge=0, le=100, allow_inf_nan=False)
    negative_prompt: Text | None = Field(None, description="What guidance other than 1 leads away from.")
    flow_shift: float | None = Field(None, gt=0, le=100, allow_inf_nan=False)
    num_frames: int | None = Field(None, ge=5, description="Pixel frames of the evolution, 4k + 1.")
    solver: Literal["euler", "unipc"] = "euler"
    middle_steps: int = Field(0, ge=0, description="Steps after which the frames between are dropped; 0: never.")
    lora: str | None = Field(None, max_length=256, description="An adapter that this server offers, see /v1/models.")
    preserve: Literal["off", "auto"] = Field(
        "off", description="auto: outside the region that the edit changes, the source's pixels to the bit."
    )
    hold: bool = Field(False, description="The model too sees the source outside the mask, at each step.")
    crop: bool = Field(
        False, description="Edit the part around the mask, or else around what a first edit changes, at its own size."
    )
    strength: float = Field(1.0, ge=0, le=1, description="How far the evolution goes: 0 is the source, 1 the edit.")
    region: bool = Field(False, description="Return the edited region too, as a mask, in region_b64_json.")
    sign: Sign | None = Field(
        None, description="Content credentials (C2PA) in the result, with the instruction's hash or text."
    )
    output: Literal["image", "clip", "both"] = Field(
        "image", description="clip: b64_json is the evolution as a clip; both: it is in clip_b64_json beside the image."
    )
    clip_format: Literal["mp4", "gif", "webp"] = "mp4"
    clip_fps: int = Field(8, ge=1, le=60)
    file_id: str | None = Field(None, max_length=64, description="The id of an earlier result, instead of an image.")
    deadline_s: float | None = Field(None, gt=0, le=86_400, allow_inf_nan=False, description="Give up after this.")

    @field_validator("prompt")
    @classmethod
    def _says_something(cls, prompt: str) -> str:
        if not prompt.strip():
            raise ValueError("it is empty: write what to change, e.g. make the car blue")
        return prompt

    @field_validator("size")
    @classmethod
    def _is_size(cls, size: str) -> str:
        if not re.fullmatch(SIZE, size):
            raise ValueError(f"got {size[:32]!r}: expected auto, or WIDTHxHEIGHT such as 512x512")
        return size.lower()


class JobFields(EditFields):
    """The fields of a job without its pictures."""

    webhook_url: str | None = Field(None, max_length=2048, description="Told once when the job has ended.")


class Ref(BaseModel):
    """A picture in a JSON body: an object, or its ``image_url`` alone, or that in the nested form of chats."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image_url: str | None = Field(default=None, description="data:image/png;base64,... or a URL where that is on.")
    file_id: str | None = Field(default=None, max_length=64, description="The id of an earlier result.")

    @model_validator(mode="before")
    @classmethod
    def _of_other_clients(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"image_url": value}
        if not isinstance(value, dict):
            return value
        plain = {name: part for name, part in value.items() if name not in ("type", "detail")}
        url = plain.get("image_url")
        return plain | {"image_url": url.get("url")} if isinstance(url, dict) else plain


class _Pictures(BaseModel):
    images: list[Ref] = Field(default_factory=list, description="One picture, also as a data URL; or image.")
    mask: Ref | None = Field(None, description="A picture that says where to edit, see mask_from.")


class JsonEdit(EditFields, _Pictures):
    """An edit as a JSON body."""


class JsonJob(JobFields, _Pictures):
    """A job as a JSON body."""
