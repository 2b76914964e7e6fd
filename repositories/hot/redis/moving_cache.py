"""The cache in Redis as a place of a move. A cache that has moved has an epoch that no value has, under which scripts
give no lease, so nothing is read from it or stored in it. Redis may evict the mark, which is only a hint.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence

from repositories.hot.encoding import new_token
from repositories.hot.moved_cache import CachePlace
from repositories.hot.redis import cache_scripts as scripts
from repositories.hot.redis.hash_tags import Shard
from repositories.hot.redis.store import RedisClient
from repositories.moving.places import CLOSED, Mark, Overtaken

# ARGV: the mark, then prefixes, of which the present mark must have one. May run twice.
_SET = """
local mark = redis.call('GET', KEYS[1])
local good = #ARGV == 1 or not mark or mark == ARGV[1]
for i = 2, #ARGV do good = good or string.sub(mark, 1, #ARGV[i]) == ARGV[i] end
if not good then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
"""


class RedisCachePlace(CachePlace):
    """`outwait` is that of the cache."""

    def __init__(self, link: RedisClient, shards: Sequence[Shard], outwait: Callable[[], None]) -> None:
        self._link = link
        self._shards = shards
        self._outwait = outwait
        self._name = shards[0].server_name + b":moving"
        self._move = ""

    def mark(self) -> Mark | None:
        [raw] = self._link.exchange(("GET", self._name), again=True)
        if raw is None:
            return None
        state, epoch, move, url = raw.decode().split(" ", 3)
        return Mark(state, int(epoch), url, move)

    def open(self, epoch: int) -> None:
        mark = self.mark()
        if mark and mark.state in CLOSED and mark.epoch <= epoch:
            self._set(Mark("open", epoch, "", mark.move))
            self._set_epochs(None)

    def capture(self, mark: Mark) -> None:
        self._set(mark, "open", "leaving")

    @contextlib.contextmanager
    def switching(self, mark: Mark) -> Iterator[None]:
        """Writers need not wait: nothing is stored here any more that they could have to drop."""
        found = self.mark()
        if found is None or (found.state, found.move) != ("leaving", self._move):
            raise Overtaken("another move of cache has begun or ended meanwhile")
        self._set_epochs(scripts.CLOSED)
        try:
            self._outwait()
            yield
            self._set(mark, f"leaving {found.epoch} {self._move} ")
        except BaseException:
            self._set_epochs(None)
            raise

    def release(self) -> None:
        mark = self.mark()
        if mark and (mark.state, mark.move) == ("leaving", self._move):
            self._give_up(mark)
            self._set_epochs(None)

    def receive(self, mark: Mark) -> None:
        self._set(mark)
        self._set_epochs(scripts.CLOSED)

    def tidy(self, move: str = "") -> None:
        mark = self.mark()
        if mark and mark.state == "leaving" and move in ("", mark.move):
            self._give_up(mark)
        super().tidy(move)

    def _void(self) -> None:
        self._set_epochs(None)
        self._outwait()

    def _give_up(self, mark: Mark) -> None:
        """End the move. Raises `Overtaken` if it has switched meanwhile, or another one has begun."""
        self._set(Mark("open", mark.epoch, "", mark.move), f"leaving {mark.epoch} {mark.move} ")

    def _set(self, mark: Mark, *before: str) -> None:
        """Write the mark. Raises `Overtaken` if the present mark begins with none of the prefixes `before`, if any."""
        self._move = mark.move
        text = f"{mark.state} {mark.epoch} {mark.move} {mark.url}"
        if self._link.exchange(("EVAL", _SET, 1, self._name, text, *before), again=True) == [0]:
            raise Overtaken("another move of cache has begun or ended meanwhile")

    def _set_epochs(self, epoch: str | None) -> None:
        """Set the epoch, a new one for None. Either way all stored values are of another epoch, and so are gone."""
        self._link.exchange(*(("SET", one.epoch_name, epoch or new_token()) for one in self._shards), again=True)
