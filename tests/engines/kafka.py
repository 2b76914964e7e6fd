"""Kafka 4.1, one node that is both broker and controller, on the same Java as Cassandra."""

import socket
from collections.abc import Mapping
from pathlib import Path

from .certificates import certificate
from .home import Home
from .jars import KAFKA, jars, java
from .kernel import free_port
from .process import Server

_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "group.initial.rebalance.delay.ms": 0,
    # Short, since after a crash the broker can rejoin only when its former session has expired.
    "broker.session.timeout.ms": 1500,
    "broker.heartbeat.interval.ms": 300,
    # Few threads suffice for tests.
    "num.network.threads": 2,
    "num.io.threads": 2,
    "log.cleaner.enable": "false",
}
_FORMATTED = "version=1\ncluster.id=quartet-quartet-quarte\nnode.id=1\ndirectory.id=quartet-quartet-folder\n"
_JAVA = ("-Xms96m", "-Xmx192m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
# ApiVersions, version 0, with the correlation id 7 and no client id.
_REQUEST = bytes.fromhex("0000000a0012000000000007ffff")


def launch(home: Home) -> Server:
    """Start a broker without topics. It creates topics that a client asks for, unless the client forbids it."""
    return _launch(home.folder("kafka"), {}, {})


def launch_secured(home: Home, tls: int, signed_in: int) -> Server:
    """Start a broker with two more ports for TLS: `tls` without and `signed_in` with authentication.

    The user for PLAIN is `quartet` with the password `secret`; for SCRAM users have to be created. `ca.pem` in its
    folder verifies its certificate.
    """
    folder = home.folder("kafka")
    certificate(folder)
    plain = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_quartet="secret";'
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    mechanisms = {"plain": plain, "scram-sha-256": scram, "scram-sha-512": scram}
    settings = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": folder / "both.pem",
        "sasl.enabled.mechanisms": ",".join(mechanisms).upper(),
        **{f"listener.name.sasl_ssl.{one}.sasl.jaas.config": module for one, module in mechanisms.items()},
    }
    return _launch(folder, {"SSL": tls, "SASL_SSL": signed_in}, settings)


def _launch(folder: Path, more: Mapping[str, int], settings: Mapping[str, object]) -> Server:
    port, controller = free_port(), free_port()
    listeners = ",".join(f"{name}://127.0.0.1:{at}" for name, at in {"PLAINTEXT": port, **more}.items())
    protocols = ["PLAINTEXT", *more]
    places = {
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": listeners,
        "listener.security.protocol.map": ",".join(["CONTROLLER:PLAINTEXT", *(f"{one}:{one}" for one in protocols)]),
        "log.dirs": folder / "logs",
        **settings,
    }
    file = folder / "server.properties"
    file.write_text("".join(f"{name}={value}\n" for name, value in (_SETTINGS | places).items()), encoding="ascii")
    # Write what Kafka's tool writes when it formats a folder, which saves another start of Java.
    (folder / "logs").mkdir()
    (folder / "logs" / "meta.properties").write_text(_FORMATTED, encoding="ascii")
    run = [str(java()), *_JAVA, "-cp", ":".join(map(str, jars(KAFKA)))]
    server = Server(
        f"kafka://127.0.0.1:{port}", [*run, "kafka.Kafka", str(file)], folder, lambda: _answers(port), patience=180
    )
    server.start()
    return server


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(_REQUEST)
            return connection.recv(8)[4:] == b"\x00\x00\x00\x07"
    except OSError:
        return False
