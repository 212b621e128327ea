"""An error as Deepgram's."""

from __future__ import annotations

from starlette.responses import JSONResponse

from aural.errors import AuralError

PATH = "/v1/listen"
REQUEST_ID = "dg-request-id"
ERROR = "dg-error"
LONGEST_HEADER = 1000


def refusal(error: AuralError, request_id: str) -> JSONResponse:
    message = str(error)
    headers = {REQUEST_ID: request_id, ERROR: message.encode("ascii", "replace").decode()[:LONGEST_HEADER]}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    body = {"err_code": error.code.upper(), "err_msg": message, "request_id": request_id}
    return JSONResponse(body, error.status, headers)
