"""The committed OpenAPI document: its operations, and whether values match its schemas."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

DOCUMENT = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())
METHODS = {"get", "put", "post", "delete", "patch"}
KINDS: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "object": dict,
    "array": list,
    "null": type(None),
    "number": (int, float),
}


class Operation(NamedTuple):
    method: str
    path: str
    described: dict[str, Any]

    @property
    def body(self) -> Any:
        content = self.described.get("requestBody", {}).get("content", {})
        return content["application/json"]["schema"] if content else None

    @property
    def parameters(self) -> list[dict[str, Any]]:
        return [*DOCUMENT["paths"][self.path].get("parameters", []), *self.described.get("parameters", [])]

    def named(self, place: str) -> list[dict[str, Any]]:
        return [p for p in self.parameters if p["in"] == place]


OPERATIONS = [
    Operation(method.upper(), path, described)
    for path, item in DOCUMENT["paths"].items()
    for method, described in item.items()
    if method in METHODS
]


def misfits(value: Any, schema: Any) -> bool:
    """Whether a value violates its schema. Supports only the keywords that this document uses."""
    schema = resolved(schema)
    if "anyOf" in schema:
        return all(misfits(value, one) for one in schema["anyOf"])
    kinds = schema.get("type", [])
    if not any(is_a(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds or KINDS)):
        return True
    if isinstance(value, str):
        return _text_misfits(value, schema)
    if isinstance(value, list):
        return len(value) > schema.get("maxItems", 1e9) or any(misfits(v, schema.get("items", {})) for v in value)
    if isinstance(value, dict):
        return _object_misfits(value, schema)
    return is_a(value, "number") and not schema.get("minimum", value) <= value <= schema.get("maximum", value)


def resolved(schema: Any) -> Any:
    while "$ref" in schema:
        found = DOCUMENT
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        schema = found
    return schema


def first(schema: dict[str, Any]) -> dict[str, Any]:
    """The first of several alternative schemas."""
    found: dict[str, Any] = resolved(schema["anyOf"][0]) if "anyOf" in schema else schema
    return found


def kind_of(schema: dict[str, Any]) -> str:
    kinds = first(schema)["type"]
    return str(kinds if isinstance(kinds, str) else kinds[0])


def from_query(text: str, schema: dict[str, Any]) -> Any:
    """The value of a query parameter by its schema, or the text itself if it does not match."""
    if kind_of(schema) == "integer" and re.fullmatch(r"-?\d{1,18}", text, re.ASCII):
        return int(text)
    return {"true": True, "false": False}.get(text, text) if kind_of(schema) == "boolean" else text


def is_a(value: Any, kind: str) -> bool:
    if kind == "integer":
        return isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)
    return isinstance(value, KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _text_misfits(value: str, schema: Any) -> bool:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 1e9):
        return True
    if schema.get("format") == "uuid":
        try:
            UUID(value)
        except ValueError:
            return True
    if value not in schema.get("enum", [value]):
        return True
    return "pattern" in schema and not re.search(schema["pattern"].replace("$", r"\Z"), value)


def _object_misfits(value: dict[str, Any], schema: Any) -> bool:
    known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    if any(name not in value for name in schema.get("required", [])) or len(value) > schema.get("maxProperties", 1e9):
        return True
    unknown = [v for k, v in value.items() if k not in known]
    if unknown and others is False:
        return True
    return any(misfits(v, known[k]) for k, v in value.items() if k in known) or any(misfits(v, others) for v in unknown)
