"""The events of the live stream in the OpenAPI document, as components that clients get types from.

An event is one object per kind: `event`, `id`, and `data`: JSON in one line, of the shape that `contentSchema` names.
"""

from typing import Any

from app.http.resources.notifications import KINDS

ID = {"type": "string", "format": "uuid"}
# Only there while the trace is recorded: the work that the event came of, for the requests that it leads to.
TRACE = {"traceparent": {"type": "string", "description": "a parent of W3C Trace Context"}}
# What `data` holds, and the events that hold it.
PAYLOADS: dict[str, dict[str, Any]] = {
    "FeedChange": {"post_id": ID, "author_id": ID} | TRACE,
    "NotificationNews": {"kind": {"type": "string", "enum": list(KINDS)}},
    "Resync": {},
}
EVENTS = {"post": "FeedChange", "gone": "FeedChange", "notification": "NotificationNews", "resync": "Resync"}


def components() -> dict[str, dict[str, Any]]:
    """Schemas by name; `LiveEvent` is any of the events."""
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
