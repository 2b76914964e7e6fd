"""The Lua scripts of the cache. Each is one atomic step over any number of keys.

KEYS[1] is the epoch, followed by two names for each key, its value's and its lease's. What is stored:

- a value: its stamp; when it is due and when it was stored, by the server's clock; the lengths of parts and record; the
  parts; the record; what `EXTEND` added. A part is the slot, length and name of another value, and its stamp.
- a stamp: the generation under which the value was filled, in 16 bytes, which are the epoch and the token of the caller
  that began the generation. `EXTEND` replaces the token.
- a lease: its generation, the token of its holder, and when it ends.

What has another epoch than the current one counts as missing.

Read leases are recorded by slots, into which names are hashed: four bytes for each slot, with the second of its last
read lease. The first four bytes say since when they are recorded.
"""

import hashlib

from repositories.hot.encoding import GENERATION_SECONDS

_EPOCH_SECONDS = 7 * 24 * 3600
# The epoch of a cache that has moved, or is not in use yet. Nothing is stored under it.
CLOSED = "MOVEDOFF"
_OPEN = f"if redis.call('GET', KEYS[1]) == '{CLOSED}' then return redis.error_reply('the cache has moved') end\n"
SLOTS = 1 << 14
# A drop waits for read leases recorded within this time: longer than they last, since the server's clock may be set.
_LEASED_SECONDS = 2

_NOTING = f"""
local function opened(leases, now)
  if redis.call('EXISTS', leases) == 1 then return end
  redis.call('SETRANGE', leases, {4 * SLOTS}, string.rep('\\0', 4))
  redis.call('SETRANGE', leases, 0, struct.pack('<I4', now))
  redis.call('EXPIRE', leases, {_EPOCH_SECONDS})
end
"""

# In a cluster the parts are on other nodes; clients compare their stamps when they read the whole.
_UNCHECKED = "local function unchanged() return true end"
# One `MGET` of all parts is no faster, because of the garbage collection that it causes.
_UNCHANGED = """
local function unchanged(parts)
  local at, name, stamp, _ = 1
  while at <= #parts do
    _, name, stamp, at = struct.unpack('<I4I4c0c16', parts, at)
    if redis.call('GETRANGE', name, 0, 15) ~= stamp then return false end
  end
  return true
end
"""

# KEYS: the epoch, a value's name and, to take a read lease, the read leases. ARGV: in that case the value's slot.
WHOLE = f"""{_UNCHANGED}{_NOTING}
local value = redis.call('GET', KEYS[2])
if not value or string.sub(value, 1, 8) ~= redis.call('GET', KEYS[1]) then return false end
local parts = string.sub(value, 41, 40 + struct.unpack('<I4', value, 33))
if not unchanged(parts) then
  redis.call('DEL', KEYS[2])
  return false
end
if KEYS[3] then
  local now, at, slot, name, stamp = redis.call('TIME')[1], 1, ARGV[1]
  local second = struct.pack('<I4', now)
  opened(KEYS[3], now)
  redis.call('SETRANGE', KEYS[3], 4 + 4 * slot, second)
  while at <= #parts do
    slot, name, stamp, at = struct.unpack('<I4I4c0c16', parts, at)
    redis.call('SETRANGE', KEYS[3], 4 + 4 * slot, second)
  end
end
return value
"""

# KEYS: the read leases, then names. ARGV: slots. Returns whether any of these has had a read lease lately, or may have.
DROP = f"""{_NOTING}
for i = 2, #KEYS do redis.call('DEL', KEYS[i]) end
local now = redis.call('TIME')[1]
opened(KEYS[1], now)
local function lately(at)
  return struct.unpack('<I4', redis.call('GETRANGE', KEYS[1], at, at + 3)) >= now - {_LEASED_SECONDS}
end
if lately(0) then return 1 end
for i = 1, #ARGV do
  if lately(4 + 4 * ARGV[i]) then return 1 end
end
return 0
"""

# ARGV: the caller's token, the lease in seconds, an epoch in case there is none, then the stamps that were seen.
LEASE = f"""{_OPEN}
local epoch, time, answers = redis.call('GET', KEYS[1]), redis.call('TIME'), {{}}
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
if epoch then redis.call('EXPIRE', KEYS[1], {_EPOCH_SECONDS})
else
  epoch = ARGV[3]
  redis.call('SET', KEYS[1], epoch, 'EX', {_EPOCH_SECONDS})
end
local function lease(name)
  local generation, held = epoch .. ARGV[1], redis.call('GET', name)
  if held and string.sub(held, 1, 8) == epoch then
    if string.sub(held, 17, 24) ~= ARGV[1] and struct.unpack('<d', held, 25) > now then return 0 end
    generation = string.sub(held, 1, 16)
  end
  local busy = struct.pack('<d', now + tonumber(ARGV[2]))
  redis.call('SET', name, generation .. ARGV[1] .. busy, 'EX', {GENERATION_SECONDS})
  return {{generation}}
end
for i = 2, #KEYS, 2 do
  local value = redis.call('GET', KEYS[i])
  if value and string.sub(value, 1, 8) == epoch and string.sub(value, 1, 16) ~= ARGV[3 + i / 2] then
    answers[i / 2] = value
  else answers[i / 2] = lease(KEYS[i + 1])
  end
end
return {{epoch, answers}}
"""

# ARGV, for each key: the lease, seconds until it is due, the time to live in milliseconds, parts, the record, and the
# latest time of its end by the server's clock, or nothing.
_FILL = """
local epoch, time, stored = redis.call('GET', KEYS[1]), redis.call('TIME'), {}
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
for i = 2, #KEYS, 2 do
  local n = (i - 2) * 6 / 2
  local lease, lasts, parts, latest = ARGV[n + 1], tonumber(ARGV[n + 3]), ARGV[n + 4], tonumber(ARGV[n + 6])
  if latest then lasts = math.min(lasts, (latest - now) * 1000) end
  stored[i / 2] = 0
  if string.sub(lease, 1, 8) == epoch and redis.call('GETRANGE', KEYS[i + 1], 0, 15) == lease then
    if lasts >= 1 and unchanged(parts) then
      local head = lease .. struct.pack('<ddI4I4', now + tonumber(ARGV[n + 2]), now, #parts, #ARGV[n + 5])
      redis.call('SET', KEYS[i], head .. parts .. ARGV[n + 5], 'PX', string.format('%d', lasts))
      stored[i / 2] = 1
    end
    redis.call('DEL', KEYS[i + 1])
  end
end
return stored
"""
FILL, LONE_FILL = _UNCHANGED + _FILL, _UNCHECKED + _FILL

# KEYS: the epoch, then names. ARGV: what to add, the most that may be added, a token for the new stamps.
EXTEND = """
local epoch, more = redis.call('GET', KEYS[1]), ARGV[1]
for i = 2, #KEYS, 2 do
  local name, head = KEYS[i], redis.call('GETRANGE', KEYS[i], 0, 39)
  redis.call('DEL', KEYS[i + 1])
  if #head == 40 then
    local stored = 40 + struct.unpack('<I4', head, 33) + struct.unpack('<I4', head, 37)
    if string.sub(head, 1, 8) == epoch and redis.call('STRLEN', name) + #more <= stored + ARGV[2] then
      redis.call('APPEND', name, more)
      redis.call('SETRANGE', name, 8, ARGV[3])
    else redis.call('DEL', name)
    end
  end
end
"""

# KEYS: leases' names. ARGV: the leases.
RELEASE = """
for i = 1, #KEYS do
  if redis.call('GETRANGE', KEYS[i], 0, 15) == ARGV[i] then redis.call('DEL', KEYS[i]) end
end
"""

_NEXT_EPOCH = """
local function next_epoch(from)
  local hex = string.sub(redis.sha1hex(from), 1, 16)
  return (string.gsub(hex, '..', function(pair) return string.char(tonumber(pair, 16)) end))
end
"""

# ARGV: the epoch to end, or nothing for any; a token. The next epoch depends on the current one, so a script that is
# sent twice never returns to an earlier epoch, and with it to values that somebody else has voided in between.
VOID = f"""{_OPEN}{_NEXT_EPOCH}
local epoch = redis.call('GET', KEYS[1]) or ''
if ARGV[1] == '' or epoch == ARGV[1] then
  redis.call('SET', KEYS[1], next_epoch(ARGV[2] .. epoch), 'EX', {_EPOCH_SECONDS})
end
"""

# KEYS: the epoch, the server's id. Begins a new epoch if the data is from another server process, as after a promotion
# or a restart from a file: the last drops and additions may be missing in it.
GREET = f"""{_NEXT_EPOCH}
local own, stored = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)'), redis.call('GET', KEYS[2])
if own and stored ~= own then
  redis.call('SET', KEYS[2], own)
  if stored and redis.call('GET', KEYS[1]) ~= '{CLOSED}' then
    local time = redis.call('TIME')
    redis.call('SET', KEYS[1], next_epoch(own .. time[1] .. '.' .. time[2]), 'EX', {_EPOCH_SECONDS})
  end
end
"""

# KEYS: the epoch, which only selects the node.
TIME = "return redis.call('TIME')"

ALL = (WHOLE, DROP, LEASE, FILL, EXTEND, RELEASE, VOID)
IN_A_CLUSTER = (LEASE, LONE_FILL, EXTEND, RELEASE, VOID, TIME)
SHA = {script: hashlib.sha1(script.encode()).hexdigest() for script in {*ALL, *IN_A_CLUSTER}}  # noqa: S324  Redis names scripts so
