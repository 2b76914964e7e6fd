"""What services raise when a request cannot be granted. `http/errors.py` alone turns these into answers.

`code` is stable and part of the API; `detail` is for people. 422 is for payloads, conflicts are 409.
"""

from collections.abc import Mapping


class AppError(Exception):
    status = 500
    code = "internal_error"

    def __init__(self, detail: str, *, code: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.code


class BadRequest(AppError):
    status, code = 400, "bad_request"


class Unauthenticated(AppError):
    status, code = 401, "unauthenticated"


class Forbidden(AppError):
    status, code = 403, "forbidden"


class Missing(AppError):
    status, code = 404, "not_found"


class RuleBroken(AppError):
    status, code = 409, "conflict"


class PreconditionFailed(AppError):
    status, code = 412, "precondition_failed"


class WrongContentType(AppError):
    status, code = 415, "unsupported_media_type"


class Unprocessable(AppError):
    """A payload that is well-formed and wrong. `fields` maps a JSON pointer to what is wrong there."""

    status, code = 422, "validation_failed"

    def __init__(self, detail: str, fields: Mapping[str, str], *, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.fields = dict(fields)


class PreconditionRequired(AppError):
    status, code = 428, "precondition_required"


class Overloaded(AppError):
    """Too much of one kind of work at once; the same request may succeed later."""

    status, code = 503, "overloaded"
