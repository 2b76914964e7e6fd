"""If-Match and If-None-Match: by their grammar, and as compressing proxies change them."""

import pytest

from app.http.edge.conditions import is_known
from tests.apps import Person, System
from tests.http.world import LAMP

TAG = '"12-0123456789abcdef"'
LOST = [
    '"a,*,b"',
    '"*"',
    "W/*",
    "*, *",
    "0",
    "1-0123456789abcdef",
    '"1-0123456789abcdef',
    '"1-0123456789abcdef" x',
    '"1-0123456789abcdef-"',
    '"1-0123456789abcdef-gzip-gzip-gzip"',
    '"0-0123456789abcdef"',
    '"9-0123456789abcdef", "a b"',
    'w/"1-0123456789abcdef"',
    "",
]


@pytest.fixture
def ada(system: System) -> Person:
    return system.person("ada")


def edited(ada: Person, path: str, etag: str) -> int:
    change = {"bio": "b"} if path == "/accounts/me" else {"title": "t"}
    return ada.send("PATCH", path, json=change, headers={"If-Match": etag}).status_code


def paths(ada: Person) -> list[str]:
    lamp = ada.post("/products", LAMP)["product"]["id"]
    return ["/accounts/me", f"/posts/{ada.publish()}", f"/products/{lamp}"]


@pytest.mark.parametrize(
    "sent", ['W/"{}"', '"{}-gzip"', '"{}--gzip"', '"{}-br"', 'W/"{}-zstd"', '"x,y", W/"{}" ,, "z"']
)
def test_a_tag_weakened_by_a_proxy_names_its_version(ada: Person, sent: str) -> None:
    for path in paths(ada):
        opaque = ada.etag(path).strip('"')
        assert ada.send("GET", path, headers={"If-None-Match": sent.format(opaque)}).status_code == 304
        assert edited(ada, path, sent.format(opaque)) == 200
        assert edited(ada, path, sent.format(opaque)) == 412
        assert ada.send("GET", path, headers={"If-None-Match": sent.format(opaque)}).status_code == 200


@pytest.mark.parametrize("sent", LOST)
def test_an_edit_with_another_tag_changes_nothing(ada: Person, sent: str) -> None:
    for path in paths(ada):
        assert edited(ada, path, sent) == 412, path


def test_a_star_matches_any_version(ada: Person) -> None:
    for path in paths(ada):
        assert [edited(ada, path, star) for star in ("*", " * ")] == [200, 200]
        assert ada.send("GET", path, headers={"If-None-Match": "*"}).status_code == 304


@pytest.mark.parametrize("sent", ['"a,*,b"', '"x*"', TAG[:-1], "12-0123456789abcdef", f"{TAG} {TAG}", None, ""])
def test_tags_of_other_versions_are_not_known(sent: str | None) -> None:
    assert not is_known(TAG, sent)


@pytest.mark.parametrize("sent", [TAG, f"W/{TAG}", f'"x",{TAG}', f'"a,b" , W/{TAG},', "*", TAG[:-1] + '-gzip"'])
def test_tags_of_the_version_are_known(sent: str) -> None:
    assert is_known(TAG, sent)


def test_lists_have_tags_too(ada: Person) -> None:
    ada.publish()
    for path in ("/posts", "/feed", "/sessions"):
        opaque = ada.etag(path).strip('"')
        for sent in (f'W/"{opaque}"', f'"{opaque}-gzip"'):
            assert ada.send("GET", path, headers={"If-None-Match": sent}).status_code == 304
