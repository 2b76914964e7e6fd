"""The errors that services raise. Only `app/http/edge/errors.py` turns them into responses.

`code` is stable and part of the API; `detail` is for people. 422 means an invalid payload, 409 a conflict.
"""

import math
from collections.abc import Mapping

from repositories.records.money import Money


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


class PaymentDeclined(AppError):
    status, code = 402, "payment_declined"


class Forbidden(AppError):
    status, code = 403, "forbidden"


class WrongPassword(Forbidden):
    """The current password that a signed-in caller has sent is wrong."""

    code = "wrong_password"

    def __init__(self) -> None:
        super().__init__("the current password is wrong")


class WrongToken(Forbidden):
    """A mailed token is unknown, used, replaced by a later one, or expired."""

    code = "wrong_mail_token"

    def __init__(self) -> None:
        super().__init__("the token is unknown, was used, or has expired")


class Missing(AppError):
    status, code = 404, "not_found"


class RuleBroken(AppError):
    status, code = 409, "conflict"


class PriceChanged(AppError):
    """An order would cost another amount than its buyer expects. Both amounts are in minor units of their currency."""

    status, code = 409, "price_changed"

    def __init__(self, expected: Money, total: Money) -> None:
        super().__init__(f"the order costs {total.amount} {total.currency}, not {expected.amount} {expected.currency}")
        self.expected = expected
        self.total = total


class InProgress(AppError):
    """The first request with this idempotency key is not answered yet. It will be within `seconds`."""

    status, code = 409, "idempotency_key_in_flight"

    def __init__(self, seconds: float = 1) -> None:
        super().__init__("a request with this Idempotency-Key is being worked on")
        self.seconds = max(1, math.ceil(seconds))


class KeySpent(AppError):
    status, code = 409, "idempotency_key_spent"

    def __init__(self) -> None:
        super().__init__("something else was made with this Idempotency-Key; use a new key")


class TooSlow(AppError):
    status, code = 408, "request_timeout"


class PreconditionFailed(AppError):
    status, code = 412, "precondition_failed"


class WrongContentType(AppError):
    status, code = 415, "unsupported_media_type"


class CodedBody(WrongContentType):
    """The body has a content coding, so it would have to be decoded first (RFC 9110, section 8.4)."""

    code = "content_coding_unsupported"


class Unprocessable(AppError):
    """A payload that is well-formed but invalid. `fields` maps JSON pointers to problems."""

    status, code = 422, "validation_failed"

    def __init__(self, detail: str, fields: Mapping[str, str], *, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.fields = dict(fields)


class KeyReused(AppError):
    status, code = 422, "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("this Idempotency-Key was used with another body")


class PreconditionRequired(AppError):
    status, code = 428, "precondition_required"


class TooMany(AppError):
    """The caller's rate limit is reached. The next request is allowed in `seconds`."""

    status, code = 429, "too_many_requests"

    def __init__(self, detail: str, seconds: float) -> None:
        super().__init__(detail)
        self.seconds = max(1, math.ceil(seconds))


class UnknownFraming(AppError):
    """The body has a transfer coding that the server does not implement, so its end cannot be found."""

    status, code = 501, "transfer_coding_unsupported"


class NoMail(AppError):
    """This server sends no mail: `QUARTET_MAIL_URL` is not set."""

    status, code = 501, "mail_off"

    def __init__(self) -> None:
        super().__init__("this server sends no mail")


class SearchOff(AppError):
    """This system has no search: `QUARTET_SEARCH_URL` is not set."""

    status, code = 501, "search_off"

    def __init__(self) -> None:
        super().__init__("this system has no search")


class WebhooksOff(AppError):
    """This system sends no webhooks: `QUARTET_WEBHOOKS_TOKEN` is not set."""

    status, code = 501, "webhooks_off"

    def __init__(self) -> None:
        super().__init__("this system sends no webhooks")


class Overloaded(AppError):
    """Too much concurrent work of one kind; the same request may succeed later."""

    status, code = 503, "overloaded"


class PaymentUnknown(AppError):
    """The payment provider has not answered. The same request with the same key asks for the outcome."""

    status, code = 503, "payment_unknown"


class PaymentUndecided(PaymentUnknown):
    """The payment provider has answered: it has the payment, and has not decided it yet."""
