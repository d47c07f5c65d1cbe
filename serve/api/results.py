"""The files of results."""

from fastapi import APIRouter, Response

from serve.api.access import TheService
from serve.api.docs import ERRORS
from serve.errors import not_found

router = APIRouter(tags=["edits"])


@router.get("/v1/results/{result_id}", response_class=Response, responses=ERRORS)
async def read_result(result_id: str, service: TheService) -> Response:
    """The file of a result. Its id is the permission: it cannot be guessed."""
    result = await service.store.ask(service.store.result, result_id)
    if result is None:
        raise not_found(f"There is no result {result_id[:64]!r} (any more).", param="result_id")
    return Response(result.blob, media_type=result.mime)
