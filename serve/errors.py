"""Errors as OpenAI's clients read them: one envelope, and headers that say whether to try again."""

import math

from fastapi.responses import JSONResponse

KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """What a client is told.

    With `retry_after_s` the same request may succeed later. Clients repeat whatever is 408, 409, 429 or at least 500,
    and so would run the model three times over for nothing: all else says ``x-should-retry: false``.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        param: str | None = None,
        retry_after_s: float | None = None,
    ):
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.retry_after_s = retry_after_s

    @property
    def envelope(self) -> dict:
        kind = KINDS.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> dict[str, str]:
        if self.retry_after_s is None:
            return {"x-should-retry": "false"}
        return {
            "retry-after": str(math.ceil(self.retry_after_s)),
            "retry-after-ms": str(math.ceil(1000 * self.retry_after_s)),
            "x-should-retry": "true",
        }

    def response(self) -> JSONResponse:
        extra = {"www-authenticate": "Bearer"} if self.status == 401 else {}
        return JSONResponse(self.envelope, self.status, headers=self.headers | extra)


class Lost(Exception):
    """The replica that had an edit is gone. An edit is a pure function of its order: another may do it."""


def invalid(param: str | None, message: str, code: str = "invalid_value") -> ApiError:
    return ApiError(400, message, code=code, param=param)


def not_found(message: str, code: str = "not_found", param: str | None = None) -> ApiError:
    return ApiError(404, message, code=code, param=param)


def overloaded(message: str) -> ApiError:
    return ApiError(503, message, code="overloaded", retry_after_s=5.0)


def crashed(request_id: str) -> ApiError:
    """Says nothing of what happened inside: the log does, under the same id."""
    return ApiError(
        500, f"The server failed on this request; its log has more under {request_id}.", code="server_error"
    )
