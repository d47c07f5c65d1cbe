"""The one model of this server under each of its names, in the form of OpenAI's list of models."""

import time
from functools import cache
from pathlib import Path

from fastapi import APIRouter

from serve.api.access import TheOwner, TheService
from serve.api.docs import ERRORS
from serve.settings import Settings
from serve.work import check_model
from v4e.files import credentials
from v4e.weights.student import ASSETS, card

CARD_TEXT = 20_000  # characters of a card, at most
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
        "max_pixels": settings.area,
        "upload_bytes": settings.upload_bytes,
        "source_pixels": settings.source_pixels,
        "signs": credentials.installed(),
        "card": _card(settings.model),
    } | ({} if settings.model else _of_the_student())


@cache
def _card(model: str) -> str | None:
    """Returns the beginning of the model's card, if its folder has one."""
    file = Path(model) / "README.md" if model else ASSETS / "README.md"
    return file.read_text(errors="replace")[:CARD_TEXT] if file.is_file() else None


def _of_the_student() -> dict:
    """Returns what the student that comes with v4e knows, and pictures with instructions that it follows."""
    own = card()
    examples = [
        {"picture": f"page/{one.picture.name}", "instruction": one.instruction, "task": one.task, "seed": one.seed}
        for one in own.examples
    ]
    return {"knows": own.knows, "examples": examples}
