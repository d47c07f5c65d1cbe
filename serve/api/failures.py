"""The handlers that answer any error of a route in the envelope."""

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from serve.api.access import request_id
from serve.errors import ApiError, crashed

CODES = {404: "not_found", 405: "method_not_allowed"}
WHERE = "this server edits images that you send, by POST /v1/images/edits; /docs lists all that it has"
WORDS = {404: f"There is no {{}}: {WHERE}.", 405: f"{{}} is not allowed: {WHERE}."}


async def refused(_request: Request, error: ApiError) -> JSONResponse:
    return error.response()


async def http_error(request: Request, error: HTTPException) -> JSONResponse:
    code = CODES.get(error.status_code, "invalid_request")
    here = f"{request.method} {request.url.path[:128]}"
    words = WORDS[error.status_code].format(here) if error.status_code in WORDS else str(error.detail)
    answer = ApiError(error.status_code, words, code=code).response()
    answer.headers.update(error.headers or {})
    return answer


async def unprocessable(_request: Request, error: RequestValidationError) -> JSONResponse:
    first = error.errors()[0]
    param = str(first["loc"][-1])
    return ApiError(422, f"{param}: {first['msg']}.", code="invalid_value", param=param).response()


async def failed(request: Request, _error: Exception) -> JSONResponse:
    return crashed(request_id(request)).response()


HANDLERS = {
    ApiError: refused,
    HTTPException: http_error,
    RequestValidationError: unprocessable,
    Exception: failed,
}
