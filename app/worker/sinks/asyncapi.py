"""Makes the AsyncAPI document of the events that are sent, from the table of published events."""

from importlib.metadata import version
from typing import Any

import msgspec

from app.envelopes import PUBLISHED, CloudEvent, schema_of, schemas, type_of

CHANNEL = "events"
_ABOUT = """The events that Quartet sends to other systems, as CloudEvents 1.0 in structured mode. They are delivered at
least once: a repeated event has the same `id`. Events of one `subject` are in order."""


def document() -> dict[str, Any]:
    """AsyncAPI 3.0, with one message for each type."""
    found = schemas()
    messages = {type_of(kind): _message(kind) for kind in PUBLISHED}
    payloads = {type_: _payload(type_, schema) for type_, schema in found.items()}
    references = {name: {"$ref": f"#/components/messages/{name}"} for name in messages}
    made = {
        "asyncapi": "3.0.0",
        "info": {"title": "Quartet events", "version": version("quartet"), "description": _ABOUT},
        "defaultContentType": "application/cloudevents+json",
        "channels": {
            CHANNEL: {
                "address": "quartet.events",
                "description": "A topic of Kafka, or an exchange of RabbitMQ with the type as routing key.",
                "messages": references,
            }
        },
        "operations": {
            "publish": {
                "action": "send",
                "channel": {"$ref": f"#/channels/{CHANNEL}"},
                "messages": [{"$ref": f"#/channels/{CHANNEL}/messages/{name}"} for name in messages],
            }
        },
        "components": {"messages": messages, "schemas": payloads},
    }
    # Convert to plain JSON types.
    return msgspec.json.decode(msgspec.json.encode(made))  # type: ignore[no-any-return]  # of JSON


def _message(kind: type) -> dict[str, Any]:
    name = type_of(kind)
    about = " ".join((kind.__doc__ or "").split())
    return {
        "name": name,
        "title": kind.__name__,
        **({"description": about} if about else {}),
        "contentType": "application/cloudevents+json",
        "payload": {"$ref": f"#/components/schemas/{name}"},
        "bindings": {"kafka": {"key": {"type": "string", "description": "the subject"}}},
    }


def _payload(type_: str, data: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of the envelope with `data` of this type."""
    _, components = msgspec.json.schema_components((CloudEvent,))
    kind = next(one for one in PUBLISHED if type_of(one) == type_)
    fixed = {
        "specversion": {"const": "1.0"},
        "type": {"const": type_},
        "datacontenttype": {"const": "application/json"},
        "dataschema": {"const": schema_of(kind)},
        "id": {"type": "string", "format": "uuid"},
        "source": {"type": "string", "format": "uri-reference", "minLength": 1},
        "sequence": {"type": "string", "pattern": "^[0-9]{19}$"},
        "data": {name: what for name, what in data.items() if name != "$schema"},
    }
    envelope = components["CloudEvent"]
    return {
        "type": "object",
        "properties": envelope["properties"] | fixed,
        "required": envelope["required"],
    }
