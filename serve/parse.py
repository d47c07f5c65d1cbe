"""The parser of a request's body, multipart or JSON, to fields and the bytes of its pictures."""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException

from serve import pictures
from serve.errors import ApiError, invalid, not_found
from serve.fields import EditFields, Ref
from serve.outside import fetch
from serve.settings import Settings
from serve.store import ServerStore

F = TypeVar("F", bound=EditFields)
PICTURES = ("image", "image[]", "mask", "url", "url[]")
ADDRESSES = ("data:", "http://", "https://")
MOST_PICTURES = 16  # as OpenAI


@dataclass(frozen=True, kw_only=True)
class Body:
    """A request's body. The bytes of its pictures are unchanged and not yet checked."""

    fields: EditFields
    source: bytes
    mask: bytes | None


async def read_body(
    request: Request, of: type[F], json_of: type[BaseModel], settings: Settings, store: ServerStore
) -> Body:
    """Reads a body in either form.

    Raises:
        ApiError: 400 that names the field, 404 for an unknown ``file_id``, 413, 415.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        plain, refs, mask = _from_json(await request.body(), json_of)
    elif kind == "multipart/form-data":
        plain, refs, mask = await _from_form(request)
    else:
        message = f"content-type {kind or 'missing'}: expected multipart/form-data or application/json."
        raise ApiError(415, message, code="unsupported_media_type")
    fields = checked(of, plain)
    if fields.file_id:
        refs.append(Ref(file_id=fields.file_id))
    if len(refs) != 1:
        code = "unsupported_value" if refs else "missing_required_parameter"
        raise invalid("image", f"image: got {len(refs)} pictures, this model edits exactly one.", code)
    source = await _resolved(refs[0], "image", settings, store)
    return Body(fields=fields, source=source, mask=await _resolved(mask, "mask", settings, store) if mask else None)


def checked(of: type[F], plain: dict[str, Any]) -> F:
    """Validates `plain` as a model.

    Raises:
        ApiError: 400 that names the first field that is wrong.
    """
    try:
        return of.model_validate(plain)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        param = ".".join(map(str, first["loc"])) or None
        code = {"missing": "missing_required_parameter", "extra_forbidden": "unknown_parameter"}.get(first["type"])
        text = "no such parameter" if code == "unknown_parameter" else first["msg"].removeprefix("Value error, ")
        raise invalid(param, f"{param}: {text}.", code or "invalid_value") from None


def _from_json(body: bytes, of: type[BaseModel]) -> tuple[dict[str, Any], list, Any]:
    try:
        plain = json.loads(body)
    except (ValueError, RecursionError):
        raise invalid(None, "The body is no JSON.", "invalid_json") from None
    if not isinstance(plain, dict):
        raise invalid(None, "The body is no JSON object.", "invalid_json")
    plain = {name: value for name, value in plain.items() if value is not None and _is_given(name, value)}
    if "image" in plain and "images" not in plain:
        one = plain.pop("image")
        plain["images"] = one if isinstance(one, list) else [one]
    whole = checked(of, plain)  # type: ignore[type-var]
    pictures = {"images", "mask"}
    return {k: v for k, v in plain.items() if k not in pictures}, list(whole.images), whole.mask  # type: ignore[attr-defined]


def _is_given(name: str, value: object) -> bool:
    """Returns False for an optional field that is empty: many clients send all that they know."""
    return value != "" or name == "prompt"


async def _from_form(request: Request) -> tuple[dict[str, Any], list, Any]:
    try:
        form = await request.form(max_files=MOST_PICTURES + 1, max_fields=64, max_part_size=1 << 20)
    except MultiPartException as error:
        raise invalid(None, f"The multipart body cannot be read: {error.message}.", "invalid_multipart") from None
    except Exception as error:  # Starlette turns the above into HTTPException where it knows it runs in an app
        if isinstance(error, ApiError) or not hasattr(error, "detail"):
            raise
        raise invalid(None, f"The multipart body cannot be read: {error.detail}.", "invalid_multipart") from None  # type: ignore[attr-defined]
    plain: dict[str, Any] = {}
    refs, mask = [], None
    for name, value in form.multi_items():
        if name in ("url", "url[]") and isinstance(value, str):
            refs.append(Ref(image_url=value))
        elif name in ("image", "image[]", "mask") and value != "":
            picture = await _picture(name, value)
            if name != "mask":
                refs.append(picture)
            elif mask is None:
                mask = picture or None  # a form sends an empty file where none was chosen
            else:
                raise invalid(name, "mask: given twice.")
        elif isinstance(value, UploadFile):
            raise invalid(name, f"{name}: no such file parameter.", "unknown_parameter")
        elif name in plain:
            raise invalid(name, f"{name}: given twice.")
        elif _is_given(name, value):
            plain[name] = value
    return plain, refs, mask


async def _picture(name: str, value: UploadFile | str) -> bytes | Ref:
    """Returns the bytes of a form's picture, or where they are."""
    if isinstance(value, UploadFile):
        return await value.read()
    if not value.startswith(ADDRESSES):
        raise invalid(name, f"{name}: expected a file, or the text of a data URL, got other text.", "invalid_type")
    return Ref(image_url=value)


async def _resolved(ref: bytes | Ref, param: str, settings: Settings, store: ServerStore) -> bytes:
    if isinstance(ref, bytes):
        return ref
    if (ref.image_url is None) == (ref.file_id is None):
        raise invalid(param, f"{param}: expected either image_url or file_id.")
    if ref.file_id is not None:
        found = await store.ask(store.result, ref.file_id)
        if found is None:
            raise not_found(f"file_id: no picture {ref.file_id[:64]!r} is kept here (any more).", param="file_id")
        if pictures.is_clip(found.mime, found.blob):
            # The first frame of a clip is the source, not the edit.
            message = f"file_id: {ref.file_id[:64]!r} is a clip: name an image (output=both gives one beside the clip)."
            raise invalid("file_id", message, "unsupported_value")
        return found.blob
    assert ref.image_url is not None
    if not ref.image_url.startswith(ADDRESSES):
        message = f"{param}: this is no address: before base64, write data:image/png;base64, (whatever its format)."
        raise invalid(param, message, "invalid_image_url")
    if ref.image_url.startswith("data:"):
        head, comma, data = ref.image_url.partition(",")
        if not comma or not head.endswith(";base64"):
            raise invalid(param, f"{param}: expected data:image/...;base64,...")
        try:
            return base64.b64decode("".join(data.split()), validate=True)
        except (binascii.Error, ValueError):
            raise invalid(param, f"{param}: this is no base64.") from None
    return await fetch(ref.image_url, param, settings.urls, settings.upload_bytes)
