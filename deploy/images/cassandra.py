"""Run Cassandra, configured by the variables of the official image that the compose file sets."""

import json
import os
import shlex
import socket
from pathlib import Path

HOME = Path("/opt/cassandra")
DATA = Path("/var/lib/cassandra")
EXPORTS = """
    java.base/jdk.internal.misc java.base/jdk.internal.ref java.base/sun.nio.ch
    java.management.rmi/com.sun.jmx.remote.internal.rmi java.rmi/sun.rmi.registry java.rmi/sun.rmi.server
    java.sql/java.sql java.base/java.lang.ref jdk.unsupported/sun.misc
"""
OPENS = """
    java.base/java.lang.module java.base/jdk.internal.loader java.base/jdk.internal.ref
    java.base/jdk.internal.reflect java.base/jdk.internal.math java.base/jdk.internal.module
    java.base/jdk.internal.util.jar jdk.management/com.sun.management.internal java.base/sun.nio.ch
    java.base/java.io java.base/java.nio java.base/java.lang java.base/java.util java.base/java.net
    java.base/java.util.concurrent java.base/java.util.concurrent.atomic java.base/java.lang.reflect
"""
PROPERTIES = {
    "cassandra.config": f"file://{DATA}/cassandra.yaml",
    "cassandra.storagedir": f"{DATA}",
    "cassandra.logdir": f"{DATA}",
    "cassandra-foreground": "yes",
    "logback.configurationFile": f"{HOME}/logback.xml",
    "cassandra.skip_wait_for_gossip_to_settle": "0",
    "cassandra.jmx.local.port": "7199",
    "java.io.tmpdir": f"{DATA}",
    "jdk.attach.allowAttachSelf": "true",
}


def main() -> None:
    own = os.environ
    address = json.dumps(socket.gethostbyname(socket.gethostname()))
    text = (HOME / "cassandra.yaml").read_text().replace("ADDRESS", address)
    text = text.replace("CLUSTER", json.dumps(own.get("CASSANDRA_CLUSTER_NAME", "Test Cluster")))
    (DATA / "cassandra.yaml").write_text(text)
    heap = own.get("MAX_HEAP_SIZE", "512M")
    command = [
        "java",
        *(f"-D{name}={value}" for name, value in PROPERTIES.items()),
        *(f"-Xms{heap}", f"-Xmx{heap}", f"-Xmn{own.get('HEAP_NEWSIZE', '128M')}", "-Xss512k", "-XX:+UseSerialGC"),
        *(f"--add-exports={package}=ALL-UNNAMED" for package in EXPORTS.split()),
        *(f"--add-opens={package}=ALL-UNNAMED" for package in OPENS.split()),
        *shlex.split(own.get("JVM_EXTRA_OPTS", "")),
        *("-cp", f"{HOME}/lib/*", "org.apache.cassandra.service.CassandraDaemon"),
    ]
    os.execvp(command[0], command)  # noqa: S606  # it takes the place of this process


main()
