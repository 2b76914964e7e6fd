"""The Lua code for moves of sessions: preludes for all scripts that read or write, and the mover's own scripts."""

import hashlib
from typing import Final

from repositories.read_your_writes import KEPT_SECONDS

SESSION, ACCOUNT, SEEN = "quartet:session:", "quartet:account:", "quartet:seen:"
# The mark is `state epoch move url`. Writers wait while `PAUSED` exists, which expires in case the mover dies.
MARK, PAUSED, CHANGED, TAKEN = (f"quartet:moving:{name}" for name in ("mark", "paused", "changed:", "taken:"))
# The mark of a place that is not the truth begins with one of these.
CLOSED = b"moved", b"incoming"
HAS_MOVED, WAIT, OVERTAKEN = "QUARTETMOVED", "QUARTETWAIT", "QUARTETOVERTAKEN"
# A writer that got `WAIT` tries again after this many seconds.
WAIT_SECONDS = 0.005
_PAUSE_MS: Final = 2000
KINDS = {"sessions": SESSION, "seen": SEEN}

# The prelude of scripts that read.
LOOK = f"""
local mark = redis.call('GET', '{MARK}')
local state = mark and string.match(mark, '^%l+') or 'open'
if state == 'moved' or state == 'incoming' then return redis.error_reply('{HAS_MOVED}') end
"""
# The prelude of scripts that write.
GATE = f"""{LOOK}
if state == 'leaving' and redis.call('EXISTS', '{PAUSED}') == 1 then return redis.error_reply('{WAIT}') end
local function changed(kind, member)
  if state == 'leaving' then redis.call('SADD', '{CHANGED}' .. kind, member) end
end
"""
# The prelude of the mover's scripts. ARGV[1]: the mark that the mover expects.
_OWN = f"if redis.call('GET', '{MARK}') ~= ARGV[1] then return redis.error_reply('{OVERTAKEN}') end\n"
_NOTES = ", ".join(f"'{name}{kind}'" for name in (CHANGED, TAKEN) for kind in KINDS)
_FORGET_NOTES = f"redis.call('DEL', {_NOTES})\n"
# ARGV: the new mark.
CAPTURE = f"{LOOK}{_FORGET_NOTES}redis.call('DEL', '{PAUSED}') redis.call('SET', '{MARK}', ARGV[1])"
# ARGV: a move or nothing.
TIDY = f"""{LOOK}
if state == 'leaving' then
  local epoch, move = string.match(mark, '^%l+ (%d+) (%S*)')
  if ARGV[1] ~= '' and ARGV[1] ~= move then return end
  redis.call('SET', '{MARK}', 'open ' .. epoch .. ' ' .. move .. ' ')
end
redis.call('DEL', '{PAUSED}')
{_FORGET_NOTES}
"""
# ARGV: the mark, then the kind. Changes from now on are noted separately.
TAKE = f"""{_OWN}
local taken, changed = '{TAKEN}' .. ARGV[2], '{CHANGED}' .. ARGV[2]
redis.call('SUNIONSTORE', taken, taken, changed)
redis.call('DEL', changed)
return redis.call('SMEMBERS', taken)
"""
# ARGV: the mark, a token.
PAUSE = f"""{_OWN}
if redis.call('GET', '{PAUSED}') == ARGV[2] then return 1 end
return redis.call('SET', '{PAUSED}', ARGV[2], 'NX', 'PX', {_PAUSE_MS}) and 1 or 0
"""
# ARGV: the mark, the token, the new mark or nothing.
GO_ON = f"""if redis.call('GET', '{MARK}') == ARGV[3] then return 1 end
{_OWN}
if redis.call('GET', '{PAUSED}') ~= ARGV[2] then return 0 end
if ARGV[3] ~= '' then redis.call('SET', '{MARK}', ARGV[3]) end
redis.call('DEL', '{PAUSED}')
return 1
"""
# ARGV: the epoch.
OPEN = f"""
local mark = redis.call('GET', '{MARK}')
if not mark then return end
local state, epoch, move = string.match(mark, '^(%l+) (%d+) (%S*)')
if (state == 'incoming' or state == 'moved') and tonumber(epoch) <= tonumber(ARGV[1]) then
  redis.call('SET', '{MARK}', 'open ' .. ARGV[1] .. ' ' .. move .. ' ')
end
"""
RELEASE = f"{_OWN}redis.call('SET', '{MARK}', ARGV[2])"
# ARGV: the mark, an account, a session, its digest, its record, milliseconds.
LOAD = f"""{_OWN}
local index, ttl = '{ACCOUNT}' .. ARGV[2], tonumber(ARGV[6])
redis.call('HSET', index, ARGV[3], ARGV[4])
redis.call('SET', '{SESSION}' .. ARGV[4], ARGV[5], 'PX', ttl)
if redis.call('PTTL', index) < ttl then redis.call('PEXPIRE', index, ttl) end
"""
# ARGV: the mark, a digest.
REMOVE = f"""{_OWN}
local record = redis.call('GET', '{SESSION}' .. ARGV[2])
if not record then return end
local readable, session = pcall(cjson.decode, record)
if readable then redis.call('HDEL', '{ACCOUNT}' .. session.account_id, session.id) end
redis.call('DEL', '{SESSION}' .. ARGV[2])
"""
# ARGV: the mark, an account, a store, a position or nothing.
SEE = f"""{_OWN}
local name = '{SEEN}' .. ARGV[2]
if ARGV[4] == '' then redis.call('HDEL', name, ARGV[3])
else
  redis.call('HSET', name, ARGV[3], ARGV[4])
  redis.call('EXPIRE', name, {KEPT_SECONDS})
end
"""
SCRIPTS = (CAPTURE, TIDY, TAKE, PAUSE, GO_ON, OPEN, RELEASE, LOAD, REMOVE, SEE)
SHA = {script: hashlib.sha1(script.encode()).hexdigest() for script in SCRIPTS}  # noqa: S324  Redis names scripts so
