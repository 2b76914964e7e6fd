"""Rules of this code that no linter checks."""

import ast
import collections
import dataclasses
import json
import re
import subprocess
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

import msgspec
import pytest

from app import events
from app.http.edge.operator import OPERATOR
from app.worker.handlers import HANDLERS
from config import Settings
from repositories.relational.money_port import LedgerWrites
from tests.apps import BASE, System, embedded, running

ROOT = Path(__file__).parents[2]
SHIPPED = ("app", "repositories", "config")
OPENAPI = ROOT / "docs" / "openapi.json"
OPEN = {
    "/",
    "/health/live",
    "/health/ready",
    "/metrics",
    "/openapi.json",
    "/problems",
    "/problems/<code>",
    "/docs",
    "/docs/<any('swagger-ui.css', 'swagger-ui-bundle.js', 'start.js'):name>",
}
# The console is not part of the API and has its own sign-in, tested by `tests/http/test_console.py`.
CONSOLE = "/console"
NO_NAMES = {"utils", "helpers", "common", "manager"}


@pytest.fixture
def system(tmp_path: Path) -> Any:
    with running(Settings(**embedded(tmp_path))) as found:
        yield found


def test_every_route_is_private_or_public_on_purpose(system: System) -> None:
    undecided = {
        rule.rule
        for rule in system.app.url_map.iter_rules()
        if not hasattr(system.app.view_functions[rule.endpoint], "access")
        and rule.rule not in OPEN
        and not rule.rule.startswith(CONSOLE)
    }
    assert undecided == set()


def test_private_routes_refuse_strangers(system: System) -> None:
    client = system.app.test_client()
    for rule in system.app.url_map.iter_rules():
        if getattr(system.app.view_functions[rule.endpoint], "access", None) != "private":
            continue
        values = {"handle": "nobody", "post_id": UUID(int=7 << 76), "product_id": UUID(int=7 << 76)}
        ids = ("session_id", "order_id", "refund_id", "shipment_id", "transfer_id", "payout_id")
        values |= dict.fromkeys(ids, values["post_id"]) | {"number": 1}
        url = rule.build({name: values[name] for name in rule.arguments})
        assert url is not None
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            assert client.open(url[1], method=method).status_code == 401, (method, rule.rule)


def test_money_routes_require_an_idempotency_key_and_every_post_takes_one(system: System) -> None:
    for rule in system.app.url_map.iter_rules():
        view, methods = system.app.view_functions[rule.endpoint], rule.methods or set()
        money = rule.rule.startswith((f"{BASE}/wallet", f"{BASE}/orders"))
        if "POST" in methods and not rule.rule.startswith((CONSOLE, OPERATOR)):
            assert getattr(view, "idempotency", None) in ({"required"} if money else {"required", "optional"}), rule
        elif money:
            assert methods <= {"GET", "HEAD", "OPTIONS"}, rule


def test_a_money_route_without_a_valid_key_is_a_400(system: System) -> None:
    ada = system.person()
    for rule in system.app.url_map.iter_rules():
        if getattr(system.app.view_functions[rule.endpoint], "idempotency", None) != "required":
            continue
        url = rule.build({"order_id": UUID(int=7 << 76)} if rule.arguments else {})
        assert url is not None
        path = url[1].removeprefix(BASE)
        assert ada.post(path, {}, 400)["code"] == "idempotency_key_missing"
        for key in ("", "a b", "caf\u00e9", "x" * 256):
            assert ada.pay(path, {}, 400, key or " ")["code"] == "idempotency_key_malformed", key


def test_every_event_has_its_row_of_handlers() -> None:
    assert set(HANDLERS) == set(get_args(events.AnyEvent))


def test_the_first_field_of_every_event_is_the_id_that_it_is_about() -> None:
    for event in get_args(events.AnyEvent):
        first = msgspec.structs.fields(event)[0]
        assert (first.type, first.required) == (UUID, True), event


def test_every_setting_is_in_the_table() -> None:
    table = (ROOT / "docs" / "configuration.md").read_text()
    for setting in dataclasses.fields(Settings):
        row = re.search(rf"^\| `QUARTET_{setting.name.upper()}` \| (.*) \| (.*) \|$", table, re.MULTILINE)
        assert row, f"QUARTET_{setting.name.upper()} has no row"
        assert row[1] == f"`{str(setting.default).lower() if isinstance(setting.default, bool) else setting.default}`"
        assert row[2] == setting.metadata["about"]


def test_the_committed_openapi_document_is_the_served_one(system: System) -> None:
    served = system.app.test_client().get("/openapi.json").get_json()
    assert served["openapi"].startswith("3.1")
    assert json.loads(OPENAPI.read_text()) == served, "run: make openapi"


def test_no_caller_ignores_the_result_of_a_ledger_command() -> None:
    """The result says whether the command was the first with its id, and so whether the caller may continue."""
    commands = {name for name in vars(LedgerWrites) if not name.startswith("_")} - {"lock", "open_holds", "wallet"}
    assert commands == {"transfer", "hold", "post", "void", "expire"}
    for path in (ROOT / "app").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            call = node.value if isinstance(node, ast.Expr) else None
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in commands:
                assert "ledger" not in ast.unparse(call.func.value), f"{path}:{call.lineno}"


def test_modules_are_short_and_named_for_what_they_hold() -> None:
    for path in (p for top in (*SHIPPED, "tests", "bench", "docs", "examples") for p in (ROOT / top).rglob("*.py")):
        assert path.stem not in NO_NAMES, path
        assert len(path.read_text().splitlines()) <= 300, path


def test_no_two_classes_have_one_name() -> None:
    names = collections.Counter(
        node.name
        for top in SHIPPED
        for path in (ROOT / top).rglob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
    )
    assert len(names) > 300
    assert [name for name, times in names.items() if times > 1] == []


def test_statements_are_constants() -> None:
    """A statement made for each call is compiled each time, and fills the cache of plans until others have none."""
    made, sent = {"select", "insert", "update", "delete", "upsert"}, {"rows", "change", "queue", "begin"}
    anew = []
    for path in (ROOT / "repositories").rglob("*.py"):
        for each in ast.walk(ast.parse(path.read_text())):
            if isinstance(each, ast.FunctionDef):
                called = [one.func for one in ast.walk(each) if isinstance(one, ast.Call)]
                names = {one.id for one in called if isinstance(one, ast.Name)}
                if names & made and {one.attr for one in called if isinstance(one, ast.Attribute)} & sent:
                    anew.append(f"{path.relative_to(ROOT)}:{each.lineno} {each.name}")
    assert not anew, f"make the statements of these constants: {anew}"


def test_nothing_committed_names_a_registry() -> None:
    hosts = re.compile(r"(pypi|npmjs|crates|maven|pythonhosted)\.(org|io|com|apache)", re.IGNORECASE)
    for path in (
        p for pattern in ("requirements/*", "*.toml", "Makefile", "Dockerfile", "*.yml") for p in ROOT.glob(pattern)
    ):
        assert not hosts.search(path.read_text()), path


def test_tests_of_a_module_stay_together(request: pytest.FixtureRequest) -> None:
    """pytest-xdist reads the groups that `tests/conftest.py` gives, and writes each into the id of its tests."""
    if hasattr(request.config, "workerinput") and request.config.getoption("loadgroup"):
        assert request.node.nodeid.endswith("@system/test_guards/0")


def test_make_proofs_runs_every_proof() -> None:
    """Proofs run nowhere else, so none may be missing there."""
    printed = subprocess.run(["make", "-n", "proofs"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    run = {word for word in printed.split() if word.startswith("tests/")}
    marked = [
        path.relative_to(ROOT)
        for path in (ROOT / "tests").rglob("test_*.py")
        if "mark.proof" in path.read_text(encoding="utf-8") and path != Path(__file__)
    ]
    assert marked
    assert [path for path in marked if not any(path.is_relative_to(named) for named in run)] == []
