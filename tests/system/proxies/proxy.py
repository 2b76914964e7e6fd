"""Real proxies from the distribution's packages, with the configurations in the documentation."""

import http.client
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.engines import Server
from tests.engines.kernel import free_port
from tests.engines.postgres import unprivileged_user
from tests.system.live import HOST

# HAProxy's health checks: their intervals, and the number of failures after which a server is down.
CHECKS = "check inter 500ms fastinter 100ms fall 2"
PAGE = Path(__file__).parents[3] / "docs" / "proxies.md"
NGINX = """
daemon off;
pid {folder}/nginx.pid;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{block}
}}
"""


class Kind(NamedTuple):
    """`command` takes the file, the folder and the port. `replaced` maps texts of the page that a test cannot use."""

    package: str
    binary: str
    language: str
    command: Callable[[Path, Path, int], list[str]]
    replaced: Callable[[Path, int, Sequence[int]], dict[str, str]]
    # Replacements in the block that let field names with underscores pass, and the place where `Forwarded` is added.
    underscores: tuple[str, str]
    forwarded: Callable[[str], tuple[str, str]]
    around: str = "{block}"
    caches: bool = True


def servers(line: str, ports: Sequence[int]) -> str:
    """The configuration line of each server."""
    return "\n".join(line.format(port) for port in ports)


KINDS = {
    "nginx": Kind(
        "nginx",
        "nginx",
        "nginx",
        lambda file, folder, _: ["-p", str(folder), "-e", "stderr", "-c", str(file)],
        lambda folder, port, behind: {
            "/var/cache/nginx/quartet": f"{folder}/cache",
            "listen 80;": f"listen {HOST}:{port};",
            "    server 127.0.0.1:8000 max_fails=0;": servers(f"    server {HOST}:{{}} max_fails=0;", behind),
        },
        ("proxy_http_version 1.1;", "proxy_http_version 1.1;\nunderscores_in_headers on;"),
        lambda added: ("proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;", added),
        around=NGINX,
    ),
    "haproxy": Kind(
        "haproxy",
        "haproxy",
        "haproxy",
        lambda file, *_: ["-db", "-f", str(file)],
        lambda _, port, behind: {
            "bind :80": f"bind {HOST}:{port}",
            f"    server quartet 127.0.0.1:8000 {CHECKS}": servers(
                f"    server quartet{{0}} {HOST}:{{0}} {CHECKS}", behind
            ),
        },
        ("    http-request del-header _ -m sub\n", ""),
        lambda added: ("    option forwardfor\n", added),
        caches=False,
    ),
    "varnish": Kind(
        "varnish",
        "varnishd",
        "vcl",
        lambda file, folder, port: [
            *("-F", "-n", str(folder / "work"), "-a", f"{HOST}:{port}", "-T", "none"),
            *("-f", str(file), "-s", "malloc,64m"),
        ],
        lambda _, __, behind: {'.port = "8000"': f'.port = "{behind[0]}"'},
        ("    unset req.http.X_Forwarded_For;\n", ""),
        lambda added: ("vcl 4.1;\n", f"vcl 4.1;\n{added}"),
    ),
}


class Proxy(NamedTuple):
    kind: Kind
    port: int


def shown(language: str) -> str:
    """The page's only code block with this info string (a language, perhaps followed by a word)."""
    [block] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return str(block)


def configuration(
    kind: Kind, folder: Path, port: int, behind: Sequence[int], changes: Sequence[tuple[str, str]]
) -> str:
    """The page's configuration for this folder, port and servers, with these replacements."""
    block = shown(kind.language)
    for word, other in [*kind.replaced(folder, port, behind).items(), *changes]:
        assert block.count(word) == 1, word
        block = block.replace(word, other)
    return kind.around.format(folder=folder, block=block)


def by_forwarded(name: str) -> list[tuple[str, str]]:
    """Replacements by which it appends to `Forwarded`, as on the page, and lets names with underscores pass."""
    kind = KINDS[name]
    return [kind.underscores, kind.forwarded(shown(f"{kind.language} forwarded"))]


@contextmanager
def running(name: str, *behind: int, changes: Sequence[tuple[str, str]] = ()) -> Iterator[Proxy]:
    """A proxy in front of servers on these ports. If it is not installed, skips, or fails where it is required."""
    kind = KINDS[name]
    binary = shutil.which(kind.binary, path=f"{os.environ['PATH']}:/usr/sbin")
    if binary is None:
        missing = f"{name} is missing: install the package {kind.package}"
        if os.environ.get("QUARTET_ENGINES") == "required":
            pytest.fail(missing)
        pytest.skip(missing)
    port, folder = free_port(), Path(tempfile.mkdtemp(prefix=f"{name}-"))
    file = folder / "configuration"
    file.write_text(configuration(kind, folder, port, behind, changes))
    user = unprivileged_user()
    if user is not None:
        os.chown(folder, user, user)
    command = [binary, *kind.command(file, folder, port)]
    # By SIGTERM, since a worker of nginx outlives a killed master.
    server = Server(f"http://{HOST}:{port}", command, folder, lambda: _answers(port), user=user)
    try:
        server.start()
        yield Proxy(kind, port)
    finally:
        server.stop()
        shutil.rmtree(folder)
        server.log.unlink(missing_ok=True)
        folder.with_suffix(".pid").unlink(missing_ok=True)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
