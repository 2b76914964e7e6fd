"""Events in an outbox."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct


class Event(Struct, frozen=True, gc=False):
    """A domain event as an outbox stores it. `payload` is JSON.

    Events of one `aggregate` are dispatched in the order in which they were written. `traceparent` (W3C Trace Context)
    is the trace of the work that wrote the event; empty without one.
    """

    id: UUID
    type: str
    aggregate: str
    happened_at: datetime
    payload: bytes
    traceparent: str = ""
