"""A rule of advice: what it reads, from which threshold on it speaks and why, its words, and the command to run."""

import functools
import operator
import re
import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from repositories.observer_port import Observed, Subject

_COMPARED: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
_BOUND = re.compile(r"(\w+) (>=|<=|==|!=) (?:(-?[\d_.]+)|(\S+))")
_SIZES = ("bytes", "kB", "MB", "GB", "TB")


class Bound(Struct, frozen=True):
    """A figure against a number, or a word against a word. What the engine does not know is within no bound."""

    figure: str
    sign: str
    value: float | str

    def holds(self, known: Mapping[str, float | str]) -> bool:
        found = known.get(self.figure)
        return type(found) is type(self.value) and _COMPARED[self.sign](found, self.value)


class Rule(Struct, frozen=True, forbid_unknown_fields=True):
    """For each subject of one kind, of one engine; that of our own series is `Quartet`. All bounds of `when` must hold.

    `words` and `command` have figures and words of the subject in braces: `{name}`, and sizes as `{bytes!b}`. `page` is
    one of the documentation; a rung of the ladder is a section of `growing.md`.
    """

    name: str
    kind: str
    reads: str
    when: list[str]
    because: str
    words: str
    command: str
    page: str = "advice.md"
    engine: str = ""

    @property
    def bounds(self) -> list[Bound]:
        found = [_BOUND.fullmatch(text) for text in self.when]
        return [Bound(one[1], one[2], float(one[3]) if one[3] else one[4]) for one in found if one]


class _File(Struct, forbid_unknown_fields=True):
    engine: str
    rules: list[Rule]


class Advice(Struct, frozen=True):
    """What a rule says of one subject. `figures` are all that is known of it."""

    rule: str
    engine: str
    place: str
    roles: tuple[str, ...]
    about: str
    words: str
    because: str
    command: str
    page: str
    figures: Mapping[str, float]


@functools.cache
def rules() -> tuple[Rule, ...]:
    """Those of the files beside this one."""
    found = []
    for path in sorted((Path(__file__).parent / "rules").glob("*.toml")):
        file = msgspec.toml.decode(path.read_bytes(), type=_File)
        found += [msgspec.structs.replace(rule, engine=file.engine) for rule in file.rules]
    return tuple(found)


def judged(observed: Observed, roles: Iterable[str], by: Iterable[Rule]) -> Iterator[Advice]:
    """What the rules of this engine say, in their order. They may also ask for `serves_cache`, and so of each role."""
    roles = tuple(roles)
    serves = {f"serves_{role}": 1.0 for role in roles}
    for rule in by:
        if rule.engine == observed.engine:
            for subject in observed.subjects:
                known: dict[str, float | str] = {**serves, "name": subject.name, **subject.words, **subject.figures}
                if subject.kind == rule.kind and all(bound.holds(known) for bound in rule.bounds):
                    yield _advice(rule, observed, roles, subject, known)


def _advice(
    rule: Rule, observed: Observed, roles: tuple[str, ...], subject: Subject, known: Mapping[str, float | str]
) -> Advice:
    written = functools.partial(_Text().vformat, args=(), kwargs={"place": observed.place, **known})
    return Advice(
        rule.name,
        observed.engine,
        observed.place,
        roles,
        subject.name,
        written(rule.words),
        rule.because,
        written(rule.command),
        rule.page,
        subject.figures,
    )


class _Text(string.Formatter):
    def convert_field(self, value: Any, conversion: Any) -> Any:
        return size(value) if conversion == "b" else super().convert_field(value, conversion)


def size(value: float) -> str:
    """Of bytes, for people."""
    for unit in _SIZES[:-1]:
        if abs(value) < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} {_SIZES[-1]}"
