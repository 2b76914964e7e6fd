"""The events of the live stream as schemas in the OpenAPI document, from which clients generate types.

Each kind of event is an object of `event`, `id` and `data`. `data` is JSON in one line; `contentSchema` has its schema.
"""

from typing import Any

from app.http.resources.notifications import KINDS

ID = {"type": "string", "format": "uuid"}
# Only present if the trace is recorded: the work that caused the event, as the parent of requests that follow from it.
TRACE = {
    "traceparent": {
        "type": "string",
        "description": "the parent for requests that follow from this event (W3C Trace Context)",
    }
}
# Schemas of `data`; `EVENTS` names the one of each event.
PAYLOADS: dict[str, dict[str, Any]] = {
    "FeedChange": {"post_id": ID, "author_id": ID} | TRACE,
    "NotificationNews": {"kind": {"type": "string", "enum": list(KINDS)}},
    "Resync": {},
}
EVENTS = {"post": "FeedChange", "gone": "FeedChange", "notification": "NotificationNews", "resync": "Resync"}


def components() -> dict[str, dict[str, Any]]:
    """The schemas by name. `LiveEvent` is the union of all events."""
    payloads = {name: _object(properties) for name, properties in PAYLOADS.items()}
    events = {f"{event.capitalize()}Event": _event(event, payload) for event, payload in EVENTS.items()}
    names = {event: f"#/components/schemas/{event.capitalize()}Event" for event in EVENTS}
    either = {
        "oneOf": [{"$ref": name} for name in names.values()],
        "discriminator": {"propertyName": "event", "mapping": names},
    }
    return payloads | events | {"LiveEvent": either}


def _event(name: str, payload: str) -> dict[str, Any]:
    shape = {"$ref": f"#/components/schemas/{payload}"}
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": shape}
    return _object({"event": {"type": "string", "const": name}, "id": {"type": "string"}, "data": data})


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(properties.keys() - TRACE.keys()),
        "additionalProperties": False,
    }
