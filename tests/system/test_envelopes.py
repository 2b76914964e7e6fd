"""The events that are sent to sinks: their envelopes, their schemas, and the AsyncAPI document."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args
from uuid import UUID, uuid4

import jsonschema_rs
import msgspec
import pytest
from msgspec.structs import replace

from app import events
from app.envelopes import KEPT_INSIDE, PUBLISHED, id_and_type, leaves, maker, placed, prepared, schemas, type_of
from app.worker.sinks.asyncapi import document
from repositories.records.events import Event
from repositories.sinks import Message

ROOT = Path(__file__).parents[2]
AT = datetime(2026, 5, 17, 9, 30, 15, 123457, tzinfo=UTC)
VALUES: dict[Any, Any] = {UUID: UUID(int=7), int: 2**53, str: "\u00e9\u4e2d", datetime: AT}
EMPTY: dict[Any, Any] = {UUID: UUID(int=0), int: 0, str: "", datetime: datetime(1, 1, 1, tzinfo=UTC)}


def an_event(kind: type, values: dict[Any, Any]) -> Any:
    made = {}
    for field in msgspec.structs.fields(kind):
        options = get_args(field.type) or (field.type,)
        made[field.name] = (values[str],) if "tuple" in str(field.type) else values.get(options[0], options[0])
    return kind(**made)


def sent(event: Any, position: int = 1) -> dict[str, Any]:
    return enveloped(events.pack(uuid4(), event, at=AT), position)


def enveloped(packed: Event, position: int = 1, source: str = "/quartet") -> dict[str, Any]:
    return json.loads(placed(prepared(packed, source), position))  # type: ignore[no-any-return]


def test_every_event_is_declared_as_published_or_internal() -> None:
    assert set(PUBLISHED) | set(KEPT_INSIDE) == set(get_args(events.AnyEvent))
    assert not set(PUBLISHED) & set(KEPT_INSIDE)
    assert len(set(PUBLISHED.values())) == len(PUBLISHED)
    for kind in get_args(events.AnyEvent):
        packed = events.pack(uuid4(), an_event(kind, VALUES), at=AT)
        assert leaves(packed) == (kind in PUBLISHED)


@pytest.mark.parametrize("values", [VALUES, EMPTY])
@pytest.mark.parametrize("kind", PUBLISHED)
def test_sent_events_match_the_document(kind: type, values: dict[Any, Any]) -> None:
    described = document()
    schema = described["components"]["schemas"][type_of(kind)]
    made = sent(an_event(kind, values))
    jsonschema_rs.validate(schema, made, validate_formats=True)
    # The envelope has exactly the described members.
    assert set(made) == set(schema["properties"]) - {"traceparent"} == set(schema["required"])
    data = schema["properties"]["data"]
    assert set(made["data"]) == set(data["properties"]) == set(data["required"])
    for broken in ({**made, "type": "quartet.other.v1"}, {**made, "data": {}}, {**made, "specversion": "0.3"}):
        assert not jsonschema_rs.is_valid(schema, broken)


@pytest.mark.parametrize("kind", PUBLISHED)
def test_the_envelope_is_a_valid_cloudevent(kind: type) -> None:
    event = an_event(kind, VALUES)
    packed = events.pack(uuid4(), event, at=AT)
    traced = replace(packed, traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    assert enveloped(traced)["traceparent"] == traced.traceparent
    made = enveloped(packed, 42, "https://shop.example/quartet")
    assert all(name.isalnum() and name.islower() and len(name) <= 20 for name in made)
    assert (made["specversion"], made["id"], made["datacontenttype"]) == ("1.0", str(packed.id), "application/json")
    assert (made["source"], made["type"]) == ("https://shop.example/quartet", type_of(kind))
    assert made["time"] == "2026-05-17T09:30:15.123457Z"
    assert made["subject"] == made["partitionkey"] == packed.aggregate == made["data"][event.__struct_fields__[0]]
    assert made["dataschema"] == schemas()[type_of(kind)]["$id"]
    assert made["sequence"] == "0000000000000000042"
    assert sent(event, 9)["sequence"] < sent(event, 10)["sequence"] < sent(event, 2**63 - 1)["sequence"]


@pytest.mark.parametrize("kind", PUBLISHED)
def test_the_metadata_of_a_message_match_its_body(kind: type) -> None:
    packed = events.pack(uuid4(), an_event(kind, VALUES), at=AT)
    for one in (packed, replace(packed, traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")):
        body = placed(prepared(one, "https://shop.example/quartet"), 7)
        id_, type_ = id_and_type(body)
        message = Message(id_, one.aggregate, type_, body)
        assert (message.id, message.type) == (str(one.id), type_of(kind))
        assert message.traceparent == one.traceparent


def test_envelopes_for_another_source_have_another_maker() -> None:
    assert maker("/quartet") == maker("/quartet") != maker("/shop")


def test_an_event_of_an_earlier_version_is_sent_in_the_current_form() -> None:
    order, at = uuid4(), b'{"type":"OrderFulfilled","order_id":"%s"}'
    old = Event(uuid4(), "OrderFulfilled", str(order), AT, at % str(order).encode())
    made = enveloped(old)
    jsonschema_rs.validate(document()["components"]["schemas"][made["type"]], made)
    assert made["data"] == {"order_id": str(order), "seller_id": None}


def test_the_committed_asyncapi_document_matches_the_code() -> None:
    """`quartet asyncapi > docs/asyncapi.json` writes it. Its version is the release's."""
    assert json.loads((ROOT / "docs/asyncapi.json").read_text()) == document()


def test_references_of_the_document_resolve() -> None:
    described = document()

    def references(part: Any) -> list[str]:
        if isinstance(part, dict):
            own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
            return own + [one for value in part.values() for one in references(value)]
        return [one for value in part for one in references(value)] if isinstance(part, list) else []

    found = references(described)
    assert len(found) == 3 * len(PUBLISHED) + 1
    for reference in found:
        at: Any = described
        for step in reference.removeprefix("#/").split("/"):
            at = at[step]
        assert at
