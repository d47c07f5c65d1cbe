"""Errors as OpenAI's clients read them: one envelope, and headers that say whether to try again."""

import math

from fastapi.responses import JSONResponse

KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """An error in the form in which a client receives it.

    With `retry_after_s` the same request may succeed later. Clients repeat any 408, 409, 429 and 5xx, which would run
    the model three times for nothing. So all other errors say ``x-should-retry: false``.
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


class StoreLost(ApiError):
    """The silence of the database of jobs and results. What it holds is not lost."""

    def __init__(self):
        super().__init__(
            503, "The store of jobs and results does not answer: try again.", code="overloaded", retry_after_s=5.0
        )


class ReplicaLost(Exception):
    """The death of a replica under an edit. An edit is a pure function of its order: another replica can make it."""


def invalid(param: str | None, message: str, code: str = "invalid_value") -> ApiError:
    return ApiError(400, message, code=code, param=param)


def not_found(message: str, code: str = "not_found", param: str | None = None) -> ApiError:
    return ApiError(404, message, code=code, param=param)


def overloaded(message: str) -> ApiError:
    return ApiError(503, message, code="overloaded", retry_after_s=5.0)


def crashed(request_id: str) -> ApiError:
    """Returns an error that reveals nothing of the cause; the log has it under the same id."""
    return ApiError(
        500, f"The server failed on this request; its log has more under {request_id}.", code="server_error"
    )
