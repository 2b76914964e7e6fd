"""A TCP proxy between an application and an engine that can refuse, freeze, delay and reset connections."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Literal
from urllib.parse import urlsplit

Fault = Literal["refused", "frozen", "slow", "reset"]
Send = Callable[[asyncio.StreamWriter, bytes], Awaitable[None]]

DELAY_SECONDS = 1.0
_CHUNK = 1 << 16
# With this value of SO_LINGER, closing a connection resets it and discards unsent data.
_LINGER_ZERO = struct.pack("ii", 1, 0)


class Proxies:
    """The proxies of a test, all on one thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()
        self._proxies: list[Proxy] = []

    def before(self, url: str) -> "Proxy":
        """Start a proxy in front of the server of this URL."""
        proxy = Proxy(url, self.run)
        self.run(proxy.listen())
        self._proxies.append(proxy)
        return proxy

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def close(self) -> None:
        async def end() -> None:
            for proxy in self._proxies:
                proxy.end()
            if others := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.wait(others, timeout=5)

        self.run(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


class Proxy:
    """A proxy for one server. `behind` is the server's URL, `url` the same through this proxy.

    At most one fault is active at a time. Connections that survive a fault continue after it.
    """

    def __init__(self, url: str, run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self.behind = url
        self._parts = urlsplit(url)
        assert self._parts.hostname is not None
        assert self._parts.port is not None
        self._server = self._parts.hostname, self._parts.port
        self._run = run
        self._listening: asyncio.Server | None = None
        self._port = 0
        self._fault: Fault | None = None
        self._flows = asyncio.Event()
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        user, at, _ = self._parts.netloc.rpartition("@")
        return self._parts._replace(netloc=f"{user}{at}127.0.0.1:{self._port}").geturl()

    def inject(self, fault: Fault) -> None:
        self._run(self._inject(fault))

    def heal(self) -> None:
        self._run(self._heal())

    async def listen(self) -> None:
        self._flows.set()
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._listening.sockets[0].getsockname()[1]

    def end(self) -> None:
        """Stop listening, and abort all connections."""
        self._flows.set()
        if self._listening:
            self._listening.close()
        for writer in self._open:
            writer.transport.abort()

    async def _inject(self, fault: Fault) -> None:
        self._fault = fault
        if fault == "frozen":
            self._flows.clear()
        if fault == "refused":
            for writer in self._open:
                _reset_on_close(writer)
            self.end()

    async def _heal(self) -> None:
        before, self._fault = self._fault, None
        self._flows.set()
        if before == "refused":
            await self.listen()

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self._open.add(client)
        try:
            await self._flows.wait()
            answers, server = await asyncio.open_connection(*self._server)
        except OSError:
            _reset(client)
            self._open.discard(client)
            return
        self._open.add(server)
        both = [self._carry(reader, server, self._ask), self._carry(answers, client, self._answer)]
        await asyncio.wait([asyncio.ensure_future(one) for one in both], return_when=asyncio.FIRST_COMPLETED)
        for writer in (client, server):
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self._open.discard(writer)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, send: Send) -> None:
        """Copy data, with the delay of the current fault. Each chunk is delayed independently, so bandwidth is not
        limited.
        """
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def deliver() -> None:
            while True:
                due, data = await under_way.get()
                await asyncio.sleep(due - self._now())
                await self._flows.wait()
                await send(writer, data)

        delivering = asyncio.ensure_future(deliver())
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                delay = DELAY_SECONDS if self._fault == "slow" and send == self._answer else 0.0
                under_way.put_nowait((self._now() + delay, data))
        delivering.cancel()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _ask(self, server: asyncio.StreamWriter, data: bytes) -> None:
        server.write(data)

    async def _answer(self, client: asyncio.StreamWriter, data: bytes) -> None:
        if self._fault == "reset":
            client.write(data[: len(data) // 2])
            _reset(client)
        else:
            client.write(data)


def _reset(writer: asyncio.StreamWriter) -> None:
    _reset_on_close(writer)
    writer.transport.abort()


def _reset_on_close(writer: asyncio.StreamWriter) -> None:
    found: socket.socket | None = writer.get_extra_info("socket")
    if found is not None:
        with contextlib.suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
