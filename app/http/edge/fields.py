"""Marshmallow fields without coercion: a string must be a JSON string, an integer an integer, and both are bounded."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

import marshmallow as ma

from app.services.people.mail_addresses import one_spelling

INT64 = 2**63 - 1
# A character that is visible: no space, control character, directional mark or letter that is drawn as nothing.
VISIBLE = re.compile(
    r"[^\s\u0000-\u001f\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f"
    r"\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb]"
)
# Invisible characters beyond 16 bits: formatting of notations, tags, variation selectors. `VISIBLE` lets them through,
# because its pattern is in the API document, and some regex engines read a character beyond 16 bits as two.
DRAWN_AS_NOTHING = re.compile("[\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]")


class Text(ma.fields.String):
    """A string without NUL, which not every store can hold."""

    default_error_messages = {"nul": "Must not contain NUL."}
    PATTERN: ClassVar = r"^[^\u0000]*$"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not any(isinstance(one, ma.validate.Regexp | ma.validate.OneOf) for one in self.validators):
            self.metadata = {"pattern": self.PATTERN} | dict(self.metadata)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        if "\x00" in text:
            raise self.make_error("nul")
        return text


def can_be_seen(text: str) -> bool:
    return bool(VISIBLE.search(DRAWN_AS_NOTHING.sub("", text)))


class Prose(Text):
    """Text written by people. If it is not empty, it has at least one visible character."""

    default_error_messages = {"invisible": "Must have something that can be seen."}
    PATTERN: ClassVar = rf"^([^\u0000]*{VISIBLE.pattern}[^\u0000]*)?$"

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if text and not can_be_seen(text):
            raise self.make_error("invisible")
        return text


class Line(Prose):
    """A name, a title or a tag. It is normalized to NFC, so that strings that look the same compare equal."""

    PATTERN: ClassVar = rf"^[^\u0000]*{VISIBLE.pattern}[^\u0000]*$"

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        return unicodedata.normalize("NFC", super()._deserialize(value, attr, data, **kwargs))


class MailAddress(ma.fields.Email):
    """An e-mail address. Each mailbox has one spelling, otherwise one person could register it many times.

    Refused are quoted local parts (which are rare), encoded words of mail headers (RFC 2047) and addresses that NFKC
    would change. A host outside ASCII is stored in Unicode, not in its `xn--` form.
    """

    default_error_messages = {
        "spelling": "Must be an e-mail address without quotes and encoded words.",
        "form": "Must be an e-mail address without characters that stand for others (Unicode NFKC changes it).",
        "host": "Must be an e-mail address whose host is a domain name.",
    }
    PATTERN: ClassVar = r'^((?!=\?)[^\u0000-\u0020"])+@[A-Za-z0-9\u00a1-\uffff.-]+$'
    _HOST: ClassVar = re.compile(r"[\w.-]+")

    def __init__(self) -> None:
        super().__init__(
            required=True, validate=ma.validate.Length(max=254), metadata={"format": "email", "pattern": self.PATTERN}
        )

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        name, _, host = text.rpartition("@")
        if '"' in name or "=?" in name:
            raise self.make_error("spelling")
        # Without an @, host == text: the validator refuses that as no address.
        if host != text and unicodedata.normalize("NFKC", text) != text:
            raise self.make_error("form")
        if host != text and not self._HOST.fullmatch(host):
            raise self.make_error("host")
        try:
            return one_spelling(text)
        except ValueError as error:
            raise self.make_error("host") from error


class NewPassword(Text):
    """A password of 8 to 256 characters. The other rules are in `app/services/people/password_rules.py`."""

    ABOUT: ClassVar = "at least three different characters; not a common password, nor a name or address of the account"

    def __init__(self) -> None:
        super().__init__(
            required=True,
            validate=ma.validate.Length(8, 256),
            metadata={"description": self.ABOUT, "not": {"pattern": r"^(.)\1*((.)(\1|\3)*)?$"}},
        )


class Int(ma.fields.Integer):
    """An integer. Refuses booleans, and 1.0 or 1e3, because a fraction of many digits would be rounded to an integer.

    Accepts decimal text, since a query has nothing else; `JsonInt` does not.
    """

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        if isinstance(value, bool | float):
            raise self.make_error("invalid", input=value)
        if isinstance(value, str) and not (value.removeprefix("-").isdecimal() and value.isascii() and len(value) < 20):
            raise self.make_error("invalid", input=value)
        return int(super()._deserialize(value, attr, data, **kwargs))


class JsonInt(Int):
    """An integer in a JSON body. Refuses a numeral in quotes, which is a string."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        if isinstance(value, str):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


class JsonBoolean(ma.fields.Boolean):
    """`true` or `false` in a JSON body. Refuses text and numbers."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class Attributes(ma.fields.Dict):
    """At most 50 named values: strings, numbers or booleans."""

    PATTERN: ClassVar = r"^[A-Za-z0-9_-]{1,40}(?!\n)$"
    NAME: ClassVar = ma.validate.Regexp(PATTERN, error="Names are 1 to 40 of A-Za-z0-9_-.")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            keys=ma.fields.String(validate=self.NAME),
            values=AttributeField(),
            validate=self._few,
            metadata={
                "maxProperties": 50,
                **kwargs.pop("metadata", {}),
            },
            **kwargs,
        )

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> dict[Any, Any]:
        try:
            named: dict[Any, Any] = super()._deserialize(value, attr, data, **kwargs)  # type: ignore[no-untyped-call]
        except ma.ValidationError as error:
            if not isinstance(error.messages, dict):
                raise
            # marshmallow has the errors of a name and of its value one level deeper, under `key` and `value`.
            flat = {name: [one for part in parts.values() for one in part] for name, parts in error.messages.items()}
            raise ma.ValidationError(flat) from error
        return named

    def _few(self, named: Mapping[str, Any]) -> None:
        if len(named) > 50:
            raise ma.ValidationError("At most 50 attributes.")


class AttributeField(ma.fields.Field[Any]):
    default_error_messages = {
        "kind": "Must be a string, a number or a boolean.",
        "text": "Must be 1 to 200 characters without NUL, and something of it can be seen.",
        "range": "Must be within the range of 64-bit integers.",
    }
    VALUES: ClassVar = [
        {"type": "string", "minLength": 1, "maxLength": 200, "pattern": Line.PATTERN},
        {"type": "number", "minimum": -INT64 - 1, "maximum": INT64},
        {"type": "boolean"},
    ]

    def __init__(self) -> None:
        super().__init__(metadata={"anyOf": self.VALUES})

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if isinstance(value, str) and (not 1 <= len(value) <= 200 or "\x00" in value or not can_be_seen(value)):
            raise self.make_error("text")
        if isinstance(value, int | float) and not -INT64 - 1 <= value <= INT64:
            raise self.make_error("range")
        if not isinstance(value, str | int | float):
            raise self.make_error("kind")
        return value


class Instant(ma.fields.Field[datetime]):
    """A time in a query: RFC 3339 with an offset, converted to UTC. Digits beyond microseconds are ignored."""

    default_error_messages = {"invalid": "Must be an RFC 3339 time with an offset."}
    SHAPE: ClassVar = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.metadata = {"type": "string", "format": "date-time"} | dict(self.metadata)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> datetime:
        if not isinstance(value, str) or not self.SHAPE.fullmatch(value):
            raise self.make_error("invalid")
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise self.make_error("invalid") from error


class Moment(ma.fields.String):
    """Documents a time in an answer: RFC 3339, UTC, microseconds."""

    def __init__(self, about: str = "", **kwargs: Any) -> None:
        described = {"description": about} if about else {}
        super().__init__(metadata={"format": "date-time", **described}, **kwargs)


class Different(ma.fields.List[Any]):
    """A list of at most 10 different items."""

    default_error_messages = {"repeated": "An item is repeated."}

    def __init__(self, item: ma.fields.Field[Any], **kwargs: Any) -> None:
        bounds: list[Callable[[Any], Any]] = [ma.validate.Length(max=10), self._no_repeats]
        super().__init__(item, validate=bounds, metadata={"uniqueItems": True}, **kwargs)

    def _no_repeats(self, items: list[Any]) -> None:
        if len(set(items)) < len(items):
            raise self.make_error("repeated")
