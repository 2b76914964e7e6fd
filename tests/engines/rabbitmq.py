"""RabbitMQ 3.10 from the distribution's package, run directly instead of as a service."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

from .certificates import certificate
from .home import Home
from .kernel import free_port
from .process import EngineMissing, Server

_SCRIPT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_NODE = "quartet@localhost"
# The protocol header of AMQP 0-9-1. The answer is the frame with Connection.Start: a method frame on channel 0.
_REQUEST = b"AMQP\x00\x00\x09\x01"
_ANSWER = b"\x01\x00\x00"


class RabbitServer(Server):
    """A broker with its own Erlang port mapper (epmd): RabbitMQ would start one as a daemon that outlives it."""

    names: Server

    def control(self, *command: str) -> None:
        """Run a command of `rabbitmqctl`."""
        own = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LC_ALL": "C.UTF-8"}
        own |= {"RABBITMQ_NODENAME": _NODE, "ERL_EPMD_PORT": self.names.url}
        subprocess.run(
            [str(_SCRIPT.with_name("rabbitmqctl")), *command], env=own, check=True, capture_output=True, timeout=120
        )

    def discard(self, seconds: float = 5) -> None:
        super().discard(seconds)
        self.names.discard(seconds)


def launch(home: Home) -> Server:
    """Start a broker with the user `guest` and nothing declared."""
    return _launch(home, home.folder("rabbitmq"), "")


def launch_secured(home: Home, port: int) -> Server:
    """Start a broker that also accepts TLS on this port. `ca.pem` in its folder verifies its certificate."""
    folder = home.folder("rabbitmq")
    certificate(folder)
    files = {"cacertfile": "ca.pem", "certfile": "ca.pem", "keyfile": "key.pem"}
    options = "".join(f"ssl_options.{name} = {folder / file}\n" for name, file in files.items())
    return _launch(home, folder, f"listeners.ssl.1 = 127.0.0.1:{port}\n{options}")


def _launch(home: Home, folder: Path, more: str) -> Server:
    if not _SCRIPT.exists():
        raise EngineMissing("RabbitMQ", "the distribution's package rabbitmq-server")
    port = free_port()
    own = f"listeners.tcp.1 = 127.0.0.1:{port}\nlog.console = true\n"
    (folder / "rabbitmq.conf").write_text(own + more, encoding="ascii")
    (folder / "enabled_plugins").write_text("[].\n", encoding="ascii")
    names = _start_epmd(home)
    server = RabbitServer(
        f"amqp://guest:guest@127.0.0.1:{port}",
        [str(_SCRIPT)],
        folder,
        lambda: _answers(port),
        environment={
            "RABBITMQ_NODENAME": _NODE,
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder),
            "RABBITMQ_LOGS": "-",
            "ERL_EPMD_PORT": names.url,
            # The port for other nodes. The default is a fixed port, so a second server could not start.
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +A 8",
            # Makes the script exec the server instead of waiting for it.
            "RUNNING_UNDER_SYSTEMD": "1",
        },
        patience=180,
    )
    server.names = names
    server.start()
    return server


def _start_epmd(home: Home) -> Server:
    """Start an Erlang port mapper. Its `url` is only its port."""
    port, binary = free_port(), shutil.which("epmd")
    if binary is None:
        raise EngineMissing("epmd", "the distribution's package erlang-base")
    command = [binary, "-port", str(port), "-address", "127.0.0.1"]
    server = Server(str(port), command, home.folder("epmd"), lambda: _listens(port))
    server.start()
    return server


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(_REQUEST)
            return connection.recv(3) == _ANSWER
    except OSError:
        return False
