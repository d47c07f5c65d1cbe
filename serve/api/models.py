"""The one model of this server under each of its names, in the form of OpenAI's list of models."""

import time

from fastapi import APIRouter

from serve.api.access import TheOwner, TheService
from serve.api.docs import ERRORS
from serve.settings import Settings
from serve.work import check_model

STARTED = int(time.time())

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("", responses=ERRORS)
async def models(service: TheService, _owner: TheOwner) -> dict:
    return {"object": "list", "data": [_model(name, service.settings) for name in service.settings.names]}


@router.get("/{model_id}", responses=ERRORS)
async def read_model(model_id: str, service: TheService, _owner: TheOwner) -> dict:
    check_model(model_id, service.settings)
    return _model(model_id, service.settings)


def _model(name: str, settings: Settings) -> dict:
    return {
        "id": name,
        "object": "model",
        "created": STARTED,
        "owned_by": "v4e",
        "loras": list(settings.adapters),
        "steps": settings.steps,
        "max_steps": settings.max_steps,
        "max_pixels": settings.max_pixels,
    }
