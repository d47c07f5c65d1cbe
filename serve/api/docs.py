"""The parts of the OpenAPI description that FastAPI cannot derive, and a plain page of it that loads no scripts."""

from typing import Any

from jinja2 import Environment, PackageLoader
from pydantic import BaseModel

from v4e.files.images import FORMATS

ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
            },
        }
    },
}
WHY = {
    400: "A field or a picture is wrong; param names it.",
    401: "No key, or one that is not known.",
    403: "Of another site's page, on a server without keys.",
    404: "No such thing.",
    408: "Not ready by the deadline that the request set.",
    409: "The idempotency key was used for another request.",
    413: "Too large.",
    415: "Neither multipart nor JSON.",
    422: "A header or a part of the path is wrong.",
    429: "Too many requests or edits: retry-after says when.",
    500: "The server failed.",
    503: "No replica: retry-after says when.",
    504: "Not ready by the server's own deadline.",
}
ERRORS: dict[int | str, dict] = {
    status: {"description": words, "content": {"application/json": {"schema": ERROR}}} for status, words in WHY.items()
}
FILE = {"type": "string", "format": "binary"}


def request_body(of_json: type[BaseModel], of_form: type[BaseModel]) -> dict:
    """Returns the ``openapi_extra`` of a route that reads both forms by itself."""
    form = of_form.model_json_schema()
    form["properties"] = {"image": FILE | {"description": f"{', '.join(FORMATS)}."}, "mask": FILE} | form["properties"]
    whole = _inlined(of_json.model_json_schema())
    return {
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": {"schema": form}, "application/json": {"schema": whole}},
        }
    }


def page(openapi: dict) -> str:
    """Returns all routes and their fields as HTML."""
    env = Environment(loader=PackageLoader("serve", "page"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return env.get_template("docs.html.j2").render(api=openapi)


def _inlined(schema: dict) -> dict:
    """Returns `schema` without ``$defs``, which FastAPI does not collect from ``openapi_extra``."""
    defs = schema.pop("$defs", {})

    def inline(part: Any) -> Any:
        if isinstance(part, dict):
            if "$ref" in part:
                return inline(defs[part["$ref"].rsplit("/", 1)[1]])
            return {key: inline(value) for key, value in part.items()}
        return [inline(item) for item in part] if isinstance(part, list) else part

    return inline(schema)
