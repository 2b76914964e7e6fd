"""Health and documentation."""

from importlib.metadata import version

from tests.apps import System


def test_the_documentation_works_without_the_network(system: System) -> None:
    client = system.app.test_client()
    page = client.get("/docs")
    assert page.content_type == "text/html; charset=utf-8"
    for name in ("swagger-ui.css", "swagger-ui-bundle.js", "start.js"):
        assert f"/docs/{name}" in page.text
        with client.get(f"/docs/{name}") as asset:
            assert (asset.status_code, len(asset.data) > 10) == (200, True)
    assert "//" not in page.text
    assert client.get("/docs/LICENSE").status_code == 404


def test_health_names_every_store(system: System) -> None:
    anybody = system.anybody()
    assert anybody.get("/health/live") == {"status": "ok"}
    ready = anybody.get("/health/ready")
    assert set(ready["stores"]) == {"relational", "documents", "feeds", "sessions", "cache"}
    assert ready["status"] == "ok"


def test_the_root_links_to_everything(system: System) -> None:
    client = system.app.test_client()
    answer = client.get("/")
    found = answer.get_json()
    assert (answer.status_code, found["version"]) == (200, version("quartet"))
    for link in found["links"].values():
        assert client.get(link).status_code == 200, link
    assert client.get(f"{found['base']}/posts").status_code == 200
    assert "/" not in client.get("/openapi.json").get_json()["paths"]
