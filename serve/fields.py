"""The fields of a request, OpenAI's and ours: one model for multipart, JSON and the OpenAPI page."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(max_length=32_000)]


class EditFields(BaseModel):
    """The fields of a request without its pictures."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    prompt: Annotated[str, Field(min_length=1, max_length=32_000, pattern=r"\S")] = Field(
        description="The instruction, e.g. make the car blue."
    )
    model: str | None = Field(None, max_length=256, description="A name from /v1/models; this server has one.")
    n: int = Field(1, ge=1, le=10, description="Edits, of seeds seed, seed + 1, ...")
    size: Annotated[str, Field(pattern=r"^(auto|[1-9]\d{1,4}x[1-9]\d{1,4})$")] = Field(
        "auto",
        description="auto: the source's. WIDTHxHEIGHT: the source is cropped to this aspect first. "
        "Sides are multiples of 16, the aspect lies between 1:3 and 3:1.",
    )
    quality: Literal["low", "medium", "high", "standard", "auto"] = Field("auto", description="low: half the steps.")
    background: Literal["opaque", "auto", "transparent"] = "auto"
    input_fidelity: Literal["high", "low"] | None = Field(None, description="Without effect: it is always high.")
    moderation: Literal["auto", "low"] | None = Field(None, description="Without effect.")
    output_format: Literal["png", "jpeg", "webp"] = "png"
    output_compression: int = Field(100, ge=0, le=100, description="Quality of jpeg and webp; webp at 100 is lossless.")
    response_format: Literal["b64_json", "url"] = "b64_json"
    stream: bool = False
    partial_images: int = Field(0, ge=0, le=3, description="Previews in a stream, evenly spread over the steps.")
    user: str | None = Field(None, max_length=256, description="Without effect.")

    seed: int | None = Field(None, ge=0, le=2**53 - 11, description="Random without.")
    num_inference_steps: int | None = Field(None, ge=1)
    guidance_scale: float | None = Field(None, ge=0, le=100, allow_inf_nan=False)
    negative_prompt: Text | None = Field(None, description="What guidance other than 1 leads away from.")
    flow_shift: float | None = Field(None, gt=0, le=100, allow_inf_nan=False)
    num_frames: int | None = Field(None, ge=5, description="Pixel frames of the evolution, 4k + 1.")
    solver: Literal["euler", "unipc"] = "euler"
    lora: str | None = Field(None, max_length=256, description="An adapter that this server offers, see /v1/models.")
    output: Literal["image", "clip", "both"] = Field(
        "image", description="clip: b64_json is the evolution as a clip; both: it is in clip_b64_json beside the image."
    )
    clip_format: Literal["mp4", "gif", "webp"] = "mp4"
    clip_fps: int = Field(8, ge=1, le=60)
    file_id: str | None = Field(None, max_length=64, description="The id of an earlier result, instead of an image.")
    deadline_s: float | None = Field(None, gt=0, le=86_400, allow_inf_nan=False, description="Give up after this.")


class JobFields(EditFields):
    """The fields of a job without its pictures."""

    webhook_url: str | None = Field(None, max_length=2048, description="Told once when the job has ended.")


class Ref(BaseModel):
    """A picture in a JSON body."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image_url: str | None = Field(default=None, description="data:image/png;base64,... or a URL where that is on.")
    file_id: str | None = Field(default=None, max_length=64, description="The id of an earlier result.")


class _Pictures(BaseModel):
    images: list[Ref] = Field(default_factory=list, description="One picture.")
    mask: Ref | None = Field(None, description="A PNG; where it is transparent, the picture is edited.")


class JsonEdit(EditFields, _Pictures):
    """An edit as a JSON body."""


class JsonJob(JobFields, _Pictures):
    """A job as a JSON body."""
