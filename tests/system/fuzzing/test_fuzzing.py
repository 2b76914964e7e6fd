"""Runs schemathesis against a server: all of its checks, stateful, with two users.

The users must not get each other's resources: what one user can read is requested as the other.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import search_service
from tests.apps import BASE, PASSWORD
from tests.engines import Shared
from tests.system.live import HOST, Client, Live, environment, migrated, run
from tests.system.real import real_urls

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]
HERE = Path(__file__).parent
SCHEMATHESIS = str(Path(sys.executable).parent / "schemathesis")
EXAMPLES = os.environ.get("QUARTET_FUZZING_EXAMPLES", "1")
SEED = os.environ.get("QUARTET_FUZZING_SEED", "20260")


@pytest.fixture(params=["embedded", pytest.param("real", marks=[pytest.mark.engines, pytest.mark.proof])])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Live]:
    own = {}
    if request.param == "real":
        engines: Shared = request.getfixturevalue("engines")
        own = {name.upper(): url for name, url in real_urls(engines, "fuzzing").items()}
        assert run(tmp_path, "migrate", **own).returncode == 0
    else:
        migrated(tmp_path)
    search_service.index()
    own |= {"SEARCH_URL": search_service.url(), "LOG_LEVEL": "warning"}
    live = Live(tmp_path, WORKERS="1", LOGIN_FAILURES="0", MAILS="0", **own)
    yield live.answering()
    live.close()


def test_all_checks_of_schemathesis_pass(served: Live, tmp_path: Path) -> None:
    users = {"one": served.person(), "other": served.person()}
    (tmp_path / "users.json").write_text(json.dumps({"auth": [_login(*user) for user in users.items()]}))
    for name in ("schemathesis.toml", "hooks.py"):
        (tmp_path / name).write_text((HERE / name).read_text())
    seller = served.person()
    theirs = {"FUZZED_SELLER": seller.handle, "FUZZED_PRODUCT": _offered(seller)}
    command = ["run", f"http://{HOST}:{served.port}/openapi.json", "--checks", "all", "--continue-on-failure"]
    budget = ["--max-examples", EXAMPLES, "--seed", SEED, "--generation-database", "none"]
    done = subprocess.run(
        [SCHEMATHESIS, "--no-color", *command, *budget, "--report", "json", "--report-json-path", "report.json"],
        cwd=tmp_path,
        env=environment(tmp_path, {}) | theirs,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _login(name: str, person: Client) -> dict[str, object]:
    """The login in the format of Web Fuzzing Commons. The password differs from the one in the document's examples."""
    login = json.dumps({"login": f"{person.handle}@example.com", "password": PASSWORD})
    sent = {"sendIn": "header", "sendName": "Authorization", "sendTemplate": "Bearer {token}"}
    token = {"extractFrom": "body", "extractSelector": "/token", **sent}
    endpoint = {"verb": "POST", "endpoint": f"{BASE}/sessions", "contentType": "application/json"}
    return {"name": name, "loginEndpointAuth": {**endpoint, "payloadRaw": login, "token": token}}


def _offered(seller: Client) -> str:
    offer = {"title": "t", "category": "c", "price": {"amount": 1, "currency": "EUR"}}
    product = str(seller.ask("POST", "/products", offer)["product"]["id"])
    seller.ask("PUT", f"/products/{product}/stock", {"on_hand": 10**12}, If_Match="*")
    return product
