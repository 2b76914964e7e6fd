"""MongoDB's statistics for advice: `serverStatus`, `$indexStats`, the profiler, and the state of the replica set."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from pymongo.database import Database
from pymongo.read_concern import ReadConcern

from repositories.documents.mongo.client import Document, MongoConnection
from repositories.documents.mongo.schema import INDEXES, is_as_made
from repositories.documents.mongo.target import target_of
from repositories.errors import Unavailable
from repositories.observer_port import SECONDS, EngineObserver, Question, Subject, Unread, known

_NOT_ALLOWED = 13
# Statistics are local to a member: read concern majority does not apply.
_LOCAL = ReadConcern("local")
# By the server's own clock.
_INDEXES: list[Document] = [
    {"$indexStats": {}},
    {"$set": {"watched_seconds": {"$divide": [{"$subtract": ["$$NOW", "$accesses.since"]}, 1000]}}},
]
# Operations that took long or read much, grouped by query shape. Values of the queries are not shown.
_PROFILED: list[Document] = [
    {"$match": {"ns": {"$not": {"$regex": r"\.system\."}}, "op": {"$in": ["query", "getmore", "command", "update"]}}},
    {
        "$group": {
            "_id": {"ns": "$ns", "plan": "$planSummary", "shape": "$queryHash"},
            "times": {"$sum": 1},
            "millis": {"$avg": "$millis"},
            "examined": {"$avg": {"$ifNull": ["$docsExamined", 0]}},
            "returned": {"$avg": {"$ifNull": ["$nreturned", 0]}},
            "filter": {"$max": {"$ifNull": ["$command.filter", "$command.q", "$originatingCommand.filter"]}},
        }
    },
    {"$sort": {"millis": -1}},
    {"$limit": 200},
]


class MongoObserver(EngineObserver):
    """Uses one connection, besides those on which the driver monitors the replica set."""

    engine = "MongoDB"

    def __init__(self, url: str) -> None:
        self._connection = MongoConnection(url, timeout=timedelta(seconds=SECONDS), pool=1)
        address = target_of(url)
        self.place = f"{address.server}/{address.path}"

    def questions(self) -> Mapping[str, Question]:
        return {
            "serverStatus": self._server,
            "dbStats": self._disk,
            "$indexStats": self._indexes,
            "the profiler": self._profile,
            "$currentOp": self._running,
            "replSetGetStatus": self._members,
        }

    def close(self) -> None:
        self._connection.close()

    @property
    def _database(self) -> Database[Document]:
        return self._connection.database.with_options(read_concern=_LOCAL)

    def _admin_command(self, needs: str, command: str, **options: Any) -> Mapping[str, Any]:
        """Run a command on the admin database. Raises `Unread` if the user may not; the role `needs` would allow it."""
        try:
            with self._connection.calling():
                found: Mapping[str, Any] = self._connection.client.admin.command(command, **options)
        except Unavailable as error:
            raise _unread(error, command, needs) from error
        return found

    def _server(self) -> Iterator[Subject]:
        found = self._admin_command("clusterMonitor", "serverStatus")
        connections, cache = found["connections"], found.get("wiredTiger", {}).get("cache", {})
        metrics = found["metrics"]
        examined, returned = metrics["queryExecutor"]["scannedObjects"], metrics["document"]["returned"]
        limit = connections["current"] + connections["available"]
        size = cache.get("maximum bytes configured") or None
        waiting = found["globalLock"]["currentQueue"]["total"]
        figures = {
            "connections": connections["current"],
            "connections_limit": limit,
            "connections_share": connections["current"] / max(limit, 1),
            "cache_bytes": size,
            "cache_share": size and cache["bytes currently in the cache"] / size,
            "dirty_share": size and cache["tracked dirty bytes in the cache"] / size,
            "examined": examined,
            "examined_of_returned": examined / max(returned, 1),
            "waiting": waiting,
        }
        yield Subject("server", "server", known(figures))
        yield Subject("level", "connections", {"value": connections["current"], "limit": limit})

    def _disk(self) -> Iterator[Subject]:
        with self._connection.calling():
            found = self._database.command("dbStats")
        # Without collections `dbStats` reports no sizes.
        own, used, total = (float(found.get(name, 0)) for name in ("totalSize", "fsUsedSize", "fsTotalSize"))
        if not total:
            return
        free = total - used
        figures = {"bytes": own, "free_bytes": free, "free_share": free / total, "free_sizes": free / max(own, 1)}
        yield Subject("disk", "disk", figures)
        yield Subject("level", "disk", {"value": used, "limit": total})

    def _indexes(self) -> Iterator[Subject]:
        database = self._database
        with self._connection.calling():
            names = sorted(found["name"] for found in database.list_collections(filter={"type": "collection"}))
        for name in (name for name in names if not name.startswith("system.")):
            with self._connection.calling():
                used = list(database[name].aggregate(_INDEXES))
                [held] = database[name].aggregate([{"$collStats": {"storageStats": {}}}])
            yield from self._of_collection(name, used, held["storageStats"])

    def _of_collection(self, name: str, used: list[Document], held: Mapping[str, Any]) -> Iterator[Subject]:
        size, empty = held["storageSize"], held.get("freeStorageSize", 0)
        figures = {"bytes": size, "empty_bytes": empty, "empty_share": empty / max(size, 1), "documents": held["count"]}
        yield Subject("collection", name, known(figures))
        made = INDEXES.get(name, {})
        # An index of that name that is hidden, or has other keys, serves no query.
        there = {one["name"] for one in used if one["name"] in made and is_as_made(name, one["name"], one["spec"])}
        for missing in made.keys() - there:
            yield Subject("missing index", f"{name}.{missing}", {"missing": 1.0})
        for found in used:
            own = found["name"] in made or found["name"] == "_id_" or found.get("spec", {}).get("unique", False)
            figures = {
                "reads": found["accesses"]["ops"],
                "bytes": held["indexSizes"].get(found["name"]),
                "documents": held["count"],
                "own": float(own),
                "watched_seconds": found["watched_seconds"],
            }
            yield Subject(
                "index", f"{name}.{found['name']}", known(figures), {"collection": name, "plain": found["name"]}
            )

    def _profile(self) -> Iterator[Subject]:
        database = self._database
        with self._connection.calling():
            level = database.command("profile", -1)["was"]
            found = list(database["system.profile"].aggregate(_PROFILED))
        if not level and not found:
            raise Unread(
                "the profiler is off, so slow operations are not named: db.setProfilingLevel(1, {slowms: 100})"
            )
        for one in found:
            plan = one["_id"].get("plan") or ""
            fields = sorted(one["filter"]) if isinstance(one["filter"], Mapping) else []
            figures = {
                "times": one["times"],
                "filters": len(fields),
                "seconds": one["millis"] / 1000,
                "examined": one["examined"],
                "examined_of_returned": one["examined"] / max(one["returned"], 1),
                "whole": float("COLLSCAN" in plan),
            }
            words = {"plan": plan, "fields": ", ".join(fields) or "nothing"}
            yield Subject("operation", one["_id"]["ns"].partition(".")[2], known(figures), words)

    def _running(self) -> Iterator[Subject]:
        admin, own = self._connection.client.get_database("admin", read_concern=_LOCAL), self._database.name
        try:
            with self._connection.calling():
                found = list(admin.aggregate([{"$currentOp": {"allUsers": True}}]))
        except Unavailable as error:
            raise _unread(error, "$currentOp", "clusterMonitor") from error
        for one in found:
            if one.get("client") and str(one.get("ns", "")).startswith(f"{own}.") and "cursor" not in one:
                seconds = one.get("microsecs_running", 0) / 1e6
                words = {"collection": one["ns"].partition(".")[2], "application": one.get("appName", "")}
                yield Subject("running", str(one.get("opid", "")), {"seconds": seconds}, words)

    def _members(self) -> Iterator[Subject]:
        members = self._admin_command("clusterMonitor", "replSetGetStatus")["members"]
        newest = max((one["optimeDate"] for one in members if one.get("optimeDate")), default=None)
        for one in members:
            at = one.get("optimeDate")
            behind: float | None = (newest - at).total_seconds() if newest and at else None
            figures = known({"up": one["health"], "behind_seconds": behind})
            yield Subject("member", one["name"], figures, {"state": one["stateStr"]})


def _unread(error: Unavailable, asked: str, needs: str) -> Exception:
    if getattr(error.__cause__, "code", None) == _NOT_ALLOWED:
        return Unread(
            f"{asked} is not allowed for this user: db.grantRolesToUser(user, [{{role: '{needs}', db: 'admin'}}])"
        )
    return error
