"""The cache in a Redis Cluster: the parts of a page may be on other nodes, and each hash tag has its own epoch."""

from collections.abc import Collection, Mapping, Sequence

from repositories.hot.port import Cache, Fill, Held
from repositories.hot.redis import cache_scripts as scripts
from repositories.hot.redis.cache import EPOCH_BYTES, RedisCache, held_of, parts_of
from repositories.hot.redis.cluster import TAGS
from repositories.hot.redis.hash_tags import Shard, command_of, epoch_name
from repositories.hot.redis.wire import Command


class ClusterCache(RedisCache):
    """Takes one round trip for each node; `whole` takes another to compare the stamps of the parts with the page.

    There is no near cache, so no write waits for read leases.
    """

    _scripts = scripts.IN_A_CLUSTER
    _fill = scripts.LONE_FILL
    _tags = TAGS

    def whole(self, key: str, *, exact: bool = False) -> Held | None:  # noqa: ARG002  it is always exact
        [(shard, _, [raw])] = self._stored([key])
        if raw is None:
            return None
        if self._has(dict(parts_of(raw))):
            return held_of(raw, shard.clock.now())
        self._run([("DEL", shard.value(key))])
        return None

    def whole_beside(
        self, key: str, keys: Sequence[str], *, exact: bool = False
    ) -> tuple[Held | None, list[Held | None]]:
        return Cache.whole_beside(self, key, keys, exact=exact)

    def drop(self, keys: Collection[str]) -> None:
        self._run([("DEL", *shard.names(some)) for shard, some in self._by_shard(keys)])

    def outwait(self) -> None:
        """Does not wait: no process has pages in memory."""

    def _is_made_of(self, fill: Fill) -> bool:
        return self._has({self._shard(part).value(part): stamp for part, stamp in fill.parts.items()})

    def _has(self, stamps: Mapping[bytes, bytes]) -> bool:
        """Whether each of these names is stored with the given stamp, in the current epoch of its tag."""
        checks: list[Command] = []
        for name in stamps:
            place = name[: name.index(b"}") + 1]
            checks += [("GET", epoch_name(place)), ("GETRANGE", name, 0, 15)]
        replies = self._run(checks)
        return all(
            stored == stamp and stamp[:EPOCH_BYTES] == epoch
            for stamp, epoch, stored in zip(stamps.values(), replies[::2], replies[1::2], strict=True)
        )

    def _time(self, shard: Shard) -> Command:
        return command_of(scripts.TIME, [shard.epoch_name], ())
