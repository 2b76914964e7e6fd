"""Routing rules that compile their URL builder when a URL is first built."""

from unittest.mock import patch

from werkzeug.routing import Map, MapAdapter, Rule

from app.http.edge.matching_rule import MatchingRule


def _bound(kind: type[Rule]) -> MapAdapter:
    rules = [kind("/posts/<int:number>", endpoint="post"), kind("/posts", endpoint="posts", defaults={"page": 1})]
    return Map(rules).bind("localhost")


def test_urls_are_those_of_werkzeug() -> None:
    plain, own = _bound(Rule), _bound(MatchingRule)
    for endpoint, values in (("post", {"number": 3}), ("post", {"number": 3, "more": "x y"}), ("posts", {"page": 1})):
        assert own.build(endpoint, values) == plain.build(endpoint, values)
    assert own.match("/posts/3") == plain.match("/posts/3") == ("post", {"number": 3})


def test_it_is_compiled_once_and_only_when_a_url_is_built() -> None:
    with patch.object(Rule, "_compile_builder", autospec=True, side_effect=Rule._compile_builder) as compiled:
        urls = _bound(MatchingRule)
        urls.match("/posts/3")
        assert not compiled.called
        for number in range(3):
            urls.build("post", {"number": number})
        assert compiled.call_count == 1
