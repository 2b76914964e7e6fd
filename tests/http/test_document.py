"""The OpenAPI document is complete enough to generate clients: ids, examples, headers, and error codes with pages."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from marshmallow import class_registry

from app.http.document.operations import EXAMPLES, HEADERS
from app.http.document.problem_codes import PROBLEMS
from config import Settings
from tests.apps import BASE, System, embedded, running
from tests.http.drives import DRIVES, Route
from tests.http.test_budgets import send
from tests.http.world import ShiftedClock, World
from tests.system.document import DOCUMENT, OPERATIONS, resolved

CODE = re.compile(r'(?:\bcode ?= ?|code(?:: str)? = (?:\d{3}, )?|\b\d{3}(?:, |: ))"([a-z]+(?:_[a-z]+)*)"[,)\n]')
APP = Path(__file__).parents[2] / "app"


def test_every_operation_has_an_id_of_its_own() -> None:
    ids = [operation.described["operationId"] for operation in OPERATIONS]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z]+([A-Z][a-z]+)+", one) for one in ids)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_server_accepts_every_example(name: str) -> None:
    schema = class_registry.get_class(f"{name}Schema")
    assert not isinstance(schema, list)
    assert schema().validate(EXAMPLES[name]) == {}


def test_the_document_has_every_code_of_the_program_and_no_other() -> None:
    table = APP / "http/document/problem_codes.py"
    sources = [path.read_text() for path in APP.rglob("*.py") if path != table]
    assert {code for source in sources for code in CODE.findall(source)} == set(PROBLEMS)
    assert DOCUMENT["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] == sorted(PROBLEMS)


def test_the_type_of_an_error_is_the_page_about_it(system: System) -> None:
    client = system.app.test_client()
    problem = client.get("/api/v1/feed").get_json(force=True)
    page = client.get(problem["type"])
    assert (page.status_code, page.mimetype) == (200, "text/html")
    assert problem["code"] in page.get_data(as_text=True)
    everything = client.get("/problems").get_data(as_text=True)
    assert all(f'id="{code}"' in everything for code in PROBLEMS)
    assert client.get("/problems/unheard_of").status_code == 404


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    clock = ShiftedClock()
    with running(Settings(**embedded(tmp_path_factory.mktemp("document"))), clock) as system:
        yield World(system, clock, real=False)


@pytest.mark.parametrize("route", DRIVES, ids=" ".join)
def test_header_fields_of_answers_are_documented(world: World, route: Route) -> None:
    answer = send(route[0], DRIVES[route](world, 1))
    path = re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", route[1])
    described = DOCUMENT["paths"].get(BASE + path) or DOCUMENT["paths"][path]
    documented = resolved(described[route[0].lower()]["responses"][str(answer.status_code)]).get("headers", {})
    assert {name for name in HEADERS if name in answer.headers} <= set(documented)
    assert ("ETag" in documented) == ("ETag" in answer.headers)
