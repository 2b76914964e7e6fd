"""The Lua scripts of sessions. If a script is about an account, KEYS[1] is its index and ARGV[1] its id.

The index maps session ids to digests. An entry counts only while the record under its digest is of that session.
"""

import hashlib
from uuid import UUID

from repositories.hot.redis.moving_scripts import ACCOUNT, GATE, LOOK, SEEN, SESSION
from repositories.hot.redis.wire import Command
from repositories.read_your_writes import KEPT_SECONDS

# The key with the time at which the server last ended a session, in seconds.
ENDED = "quartet:ended"
_PRELUDE = f"""
local index, account = KEYS[1], ARGV[1]
local function held(id, digest)
  local record = redis.call('GET', '{SESSION}' .. digest)
  if not record then return nil end
  local readable, session = pcall(cjson.decode, record)
  if not readable or type(session) ~= 'table' then return nil end
  return session.id == id and session.account_id == account and record
end
local function remove(id, digest)
  local there = held(id, digest)
  if there then
    redis.call('DEL', '{SESSION}' .. digest)
    changed('sessions', digest)
  end
  redis.call('HDEL', index, id)
  return there
end
local function each(act)
  local entries = redis.call('HGETALL', index)
  for i = 1, #entries, 2 do act(entries[i], entries[i + 1]) end
end
"""
ADD = f"""{GATE}{_PRELUDE}
local id, digest, record, ttl = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local before = redis.call('HGET', index, id)
if before and before ~= digest then remove(id, before) end
redis.call('HSET', index, id, digest)
redis.call('SET', '{SESSION}' .. digest, record, 'PX', ttl)
changed('sessions', digest)
each(function(other, its) if not held(other, its) then redis.call('HDEL', index, other) end end)
if redis.call('PTTL', index) < ttl then redis.call('PEXPIRE', index, ttl) end
"""
OF_ACCOUNT = f"""{LOOK}{_PRELUDE}
local records = {{}}
each(function(id, digest)
  local record = held(id, digest)
  if record then records[#records + 1] = record else redis.call('HDEL', index, id) end
end)
return records
"""
# A promoted replica shows by this time how far it had replicated.
_NOTED = f"redis.call('SET', '{ENDED}', redis.call('TIME')[1], 'EX', {40 * 24 * 3600})"
END = f"""{GATE}{_PRELUDE}
{_NOTED}
local digest = redis.call('HGET', index, ARGV[2])
return digest and remove(ARGV[2], digest) and 1 or 0
"""
END_ALL = f"""{GATE}{_PRELUDE}
{_NOTED}
each(function(id, digest) if id ~= ARGV[2] then remove(id, digest) end end)
"""
# KEYS: a session. Returns its record, then for each store its name and the account's position.
FIND = f"""{LOOK}
local record = redis.call('GET', KEYS[1])
if not record then return {{}} end
local readable, session = pcall(cjson.decode, record)
if not readable or type(session) ~= 'table' then return {{record}} end
return {{record, unpack(redis.call('HGETALL', '{SEEN}' .. tostring(session.account_id)))}}
"""
# KEYS: a session. ARGV: its digest, its record.
NOTE_USE = f"""{GATE}
if redis.call('SET', KEYS[1], ARGV[2], 'XX', 'KEEPTTL') then changed('sessions', ARGV[1]) end
"""
# KEYS: an account's positions. ARGV: for each store its name and a position.
NOTE_SEEN = f"""{GATE}
for i = 1, #ARGV, 2 do
  local before = redis.call('HGET', KEYS[1], ARGV[i])
  if not before or before < ARGV[i + 1] then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
    changed('seen', string.sub(KEYS[1], {len(SEEN) + 1}) .. ' ' .. ARGV[i])
  end
end
redis.call('EXPIRE', KEYS[1], {KEPT_SECONDS})
"""
SCRIPTS = (ADD, OF_ACCOUNT, END, END_ALL, FIND, NOTE_USE, NOTE_SEEN)
SHA = {script: hashlib.sha1(script.encode()).hexdigest() for script in SCRIPTS}  # noqa: S324  Redis names scripts so


def command(script: str, account_id: UUID, *arguments: str | bytes | int) -> Command:
    return ("EVALSHA", SHA[script], 1, f"{ACCOUNT}{account_id}", str(account_id), *arguments)
