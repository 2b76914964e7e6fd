"""A command waits for its stores at the start, and then runs."""

from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from app import cli, startup
from tests.engines import Shared
from tests.engines.proxy import Fault, Proxies


@pytest.mark.parametrize("fault", ["refused", "frozen"])
def test_a_command_waits_for_a_store(
    engines: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.chdir(tmp_path)
    said: list[object] = []
    with closing(Proxies()) as proxies:
        proxy = proxies.before(engines.sessions().url)
        proxy.inject(fault)

        def hear(_: str, error: object) -> None:
            said.append(error)
            proxy.heal()

        monkeypatch.setattr(startup.log, "warning", hear)
        settings = {"QUARTET_SESSIONS_URL": proxy.url, "QUARTET_BOOT_SECONDS": "60"}
        ended = CliRunner().invoke(cli.main, ["migrate"], env=settings)
    assert ended.exit_code == 0, ended.output
    assert len(said) == 1
