"""Every error that aural raises on purpose.

AuralError
├── BadRequest                400  the caller can mend it
│   ├── UnsupportedParameter  400  the model cannot honour it
│   ├── Unauthorized          401
│   ├── Forbidden             403  models are not managed by this caller
│   ├── UnknownModel          404
│   ├── AlreadyLoaded         409
│   ├── ModelInUse            409  a model is not unloaded under those who use it
│   ├── AudioTooLong          413
│   ├── BodyTooLarge          413
│   ├── BadAudio              415
│   ├── HeadTooLarge          431  header lines without end
│   ├── RequestTimeout        408  the request did not arrive in time
│   └── SessionExpired        408  a live session lasted too long, or nothing came
├── Overloaded                503  try again after `retry_after_s`
│   ├── NotReady              503
│   ├── NoRoom                507  the model does not fit into the memory
│   └── Draining              503
├── EngineFailed              500  the model raised on this clip
│   ├── WorkerLost            503  the worker died twice under this job
│   ├── ServerLost            503  on a cluster: the machine that answered is gone
│   └── LoadFailed            500  the model could not be loaded
├── BenchError                -    a benchmark cannot be run, read or compared
├── DeployError               -    a deployment could not be made, changed or read
├── CallFailed                -    a server or endpoint refused what aural.Client asked
├── SessionLost               502  said by the client: the server ended a live session, or cannot be reached
│   └── SessionRefused        502  and would do so again, however often it is asked
└── SettingsError             -    the command line, the environment or the file is wrong

`status` is the HTTP status and `close_code` the WebSocket close code; api/errors.py turns them into responses.
Each message says what was expected and what came.
"""

from __future__ import annotations


class AuralError(Exception):
    """The root. `code` is stable and meant for programs, the message for people."""

    status = 500
    close_code = 1011
    type = "server_error"
    code = "internal_error"
    param: str | None = None
    retry_after_s: float | None = None

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled as it is: the messages are made by constructors that take other arguments."""
        return _again, (type(self), self.args, dict(vars(self)))


def _again(kind: type[AuralError], args: tuple[object, ...], attributes: dict[str, object]) -> AuralError:
    error = kind.__new__(kind, *args)
    vars(error).update(attributes)
    return error


class BadRequest(AuralError):
    status = 400
    close_code = 1008
    type = "invalid_request_error"
    code = "invalid_request"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        if code is not None:
            self.code = code


class UnsupportedParameter(BadRequest):
    code = "unsupported_parameter"

    def __init__(self, param: str, value: object, model: str, why: str) -> None:
        super().__init__(f"{model} cannot honour {param}={value!r}: {why}", param=param)


class Unauthorized(BadRequest):
    status = 401
    type = "authentication_error"
    code = "invalid_api_key"

    def __init__(self) -> None:
        super().__init__("expected a valid key in 'Authorization: Bearer KEY'; none or another one came")


class Forbidden(BadRequest):
    status = 403
    type = "permission_error"
    code = "forbidden"

    def __init__(self, why: str) -> None:
        super().__init__(why)


class UnknownModel(BadRequest):
    status = 404
    code = "model_not_found"

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"no model {name!r} is served here; there is {', '.join(known) or 'none'}", param="model")


class AlreadyLoaded(BadRequest):
    status = 409
    code = "already_loaded"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is loaded already", param="model")


class ModelInUse(BadRequest):
    status = 409
    code = "model_in_use"
    retry_after_s = 5.0

    def __init__(self, name: str, waited_s: float) -> None:
        super().__init__(f"{name} was still in use after {waited_s:g} s, so it stays", param="model")


class BodyTooLarge(BadRequest):
    status = 413
    close_code = 1009
    code = "body_too_large"

    def __init__(self, limit_bytes: int, got: str) -> None:
        super().__init__(f"expected a body of at most {limit_bytes} bytes, got {got}")


class AudioTooLong(BadRequest):
    status = 413
    close_code = 1009
    code = "audio_too_long"

    def __init__(self, limit_s: float, got_s: float | None = None) -> None:
        got = "more" if got_s is None else f"{got_s:.1f} s"
        super().__init__(f"expected at most {limit_s:.0f} s of audio, got {got}", param="file")


class BadAudio(BadRequest):
    status = 415
    close_code = 1007
    code = "invalid_audio"

    def __init__(self, message: str) -> None:
        super().__init__(message, param="file")


class HeadTooLarge(BadRequest):
    status = 431
    code = "head_too_large"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"expected at most {limit_bytes} bytes of request line and headers, got more")


class RequestTimeout(BadRequest):
    status = 408
    code = "request_timeout"

    def __init__(self, limit_s: float) -> None:
        super().__init__(f"expected the whole request within {limit_s:g} s")


class SessionExpired(BadRequest):
    status = 408
    close_code = 1000
    code = "session_expired"

    def __init__(self, why: str) -> None:
        super().__init__(f"the session has ended: {why}")


class Overloaded(AuralError):
    status = 503
    close_code = 1013
    type = "overloaded_error"
    code = "overloaded"

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotReady(Overloaded):
    code = "not_ready"

    def __init__(self, model: str, state: str) -> None:
        super().__init__(f"{model} is {state}, not ready yet", retry_after_s=1.0)


class NoRoom(Overloaded):
    status = 507
    code = "insufficient_memory"

    def __init__(self, model: str, need_bytes: int, left_bytes: int) -> None:
        need_mb, left_mb = -(-need_bytes >> 20), max(0, left_bytes >> 20)
        super().__init__(f"{model} takes {need_mb} MiB of memory, and {left_mb} MiB are left", retry_after_s=5.0)


class Draining(Overloaded):
    close_code = 1012
    code = "draining"

    def __init__(self) -> None:
        super().__init__("the server is shutting down", retry_after_s=5.0)


class EngineFailed(AuralError):
    code = "engine_failed"


class WorkerLost(EngineFailed):
    status = 503
    close_code = 1012
    code = "worker_lost"
    retry_after_s = 1.0

    def __init__(self, model: str, how: str = "") -> None:
        super().__init__(how or f"the {model} worker died while hearing this audio, and so did a second one")


class ServerLost(EngineFailed):
    status = 503
    close_code = 1012
    code = "server_lost"
    retry_after_s = 1.0

    def __init__(self, what: str) -> None:
        super().__init__(f"the machine that served {what} is gone; ask again, another one will answer")


class LoadFailed(EngineFailed):
    code = "load_failed"


class BenchError(AuralError):
    code = "benchmark_failed"


class SessionLost(AuralError):
    status = 502
    code = "session_lost"


class SessionRefused(SessionLost):
    code = "session_refused"


class SettingsError(AuralError):
    code = "invalid_settings"


class DeployError(AuralError):
    code = "deploy_failed"


class CallFailed(AuralError):
    """`status` is the container's own HTTP status, also where SageMaker wrapped it in a ModelError (424)."""

    type = "api_error"

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
