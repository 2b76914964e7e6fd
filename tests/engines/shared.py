"""One set of engines for all processes of a test run. Each process uses separate databases on them.

The process that started the run is the host. The others ask it for the URL of an engine, over a socket in its private
directory. It starts the engine on the first request; the engine ends with the host.
"""

import threading
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from urllib.parse import urlsplit

from .fleet import Engines, Fleet, Reachable
from .jars import KAFKA, jars
from .process import EngineFailed, EngineMissing
from .redis import DATABASES


@dataclass(frozen=True)
class Address:
    """A shared server, which must not be killed or frozen."""

    url: str
    folder: Path


class Host:
    """Owns the engines of the run and tells the other processes their URLs."""

    def __init__(self) -> None:
        self.engines = Engines(quick=True)
        self.socket = str(self.engines.home.folder("host") / "socket")
        self._listener = Listener(self.socket, "AF_UNIX")
        threading.Thread(target=self._serve, name="engines-host", daemon=True).start()

    def close(self) -> None:
        """Stop the engines."""
        self._listener.close()
        self.engines.close()

    def _serve(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), name="engines-answer", daemon=True).start()

    def _answer(self, connection: Connection) -> None:
        with connection:
            try:
                server = self.engines.server(connection.recv())
                connection.send(Address(server.url, server.folder))
            except (EngineFailed, EngineMissing) as problem:
                connection.send(problem)


class Shared(Fleet[Reachable]):
    """The engines of a host, for the process with this number. It has its own database number on both Redis servers.

    On the other engines tests create databases and keyspaces with unique names.
    """

    def __init__(self, socket: str, number: int) -> None:
        self._socket = socket
        self._number = number
        self._known: dict[str, Address] = {}

    def begin(self, *, kafka: bool = False) -> None:
        """Start all engines without waiting for them. With `kafka`, the first process also downloads Kafka's jars."""
        threading.Thread(target=self._begin, kwargs={"kafka": kafka}, name="engines-begin", daemon=True).start()

    def _begin(self, *, kafka: bool) -> None:
        try:
            self.start_all()
            if kafka and self._number == 0:
                jars(KAFKA)
        except (EngineFailed, EngineMissing):
            return  # The test that needs the engine gets the error.

    def server(self, name: str) -> Address:
        if name not in self._known:
            self._known[name] = self._ask(name)
        return self._known[name]

    def _ask(self, name: str) -> Address:
        with Client(self._socket, "AF_UNIX") as host:
            host.send(name)
            answer = host.recv()
        if isinstance(answer, Exception):
            raise answer
        url = urlsplit(answer.url)
        if url.scheme == "redis":
            return Address(url._replace(path=f"/{self._number % DATABASES}").geturl(), answer.folder)
        return Address(answer.url, answer.folder)
