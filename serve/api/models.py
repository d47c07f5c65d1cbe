"""The one model of this server, in the form of OpenAI's list of models."""

import time

from fastapi import APIRouter

from serve.api.access import TheOwner, TheService
from serve.api.docs import ERRORS
from serve.errors import not_found
from serve.settings import Settings

STARTED = int(time.time())

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("", responses=ERRORS)
async def models(service: TheService, _owner: TheOwner) -> dict:
    return {"object": "list", "data": [_model(service.settings)]}


@router.get("/{model_id}", responses=ERRORS)
async def read_model(model_id: str, service: TheService, _owner: TheOwner) -> dict:
    settings = service.settings
    if model_id != settings.model_name:
        message = f"There is no model {model_id[:64]!r}: expected {settings.model_name!r}."
        raise not_found(message, "model_not_found", "model")
    return _model(settings)


def _model(settings: Settings) -> dict:
    return {
        "id": settings.model_name,
        "object": "model",
        "created": STARTED,
        "owned_by": "v4e",
        "loras": list(settings.adapters),
        "steps": settings.steps,
        "max_steps": settings.max_steps,
        "max_pixels": settings.max_pixels,
    }
