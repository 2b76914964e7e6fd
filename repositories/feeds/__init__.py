"""Feeds: Cassandra or PostgreSQL, or SQLite as the embedded adapter. The URL's scheme decides."""

from datetime import timedelta

from repositories.address import addressed
from repositories.feeds.layout import Layout
from repositories.feeds.port import FeedStore

__all__ = ["FeedStore", "open_store"]


@addressed("feeds")
def open_store(
    url: str,
    *,
    timeout: timedelta,
    pool: int,
    retention: timedelta,
    replication: str = "1",
    read_consistency: str = "LOCAL_QUORUM",
    write_consistency: str = "LOCAL_QUORUM",
    author_bucket_days: int = 90,
    home_bucket_days: int = 10,
    peak_per_day: int = 20_000,
) -> FeedStore:
    """`cassandra://host:port,host:port/keyspace`, `postgresql://...` or `sqlite:///...`.

    `replication` is a factor for the local data centre (`3`) or one per data centre (`dc1:3,dc2:3`). Raises
    `ValueError` if partitions of these widths get too large at `peak_per_day` entries in one timeline.
    """
    layout = Layout(author_bucket_days, home_bucket_days, peak_per_day)
    if url.startswith("sqlite:"):
        from repositories.feeds.embedded.store import EmbeddedFeeds

        return EmbeddedFeeds(url, retention=retention, layout=layout)
    if url.startswith("postgresql:"):
        from repositories.feeds.postgres.store import PostgresFeeds

        return PostgresFeeds(url, timeout=timeout, pool=pool, retention=retention, layout=layout)
    from repositories.feeds.cassandra.store import CassandraFeeds

    return CassandraFeeds(
        url,
        timeout=timeout,
        retention=retention,
        replication=replication,
        read_consistency=read_consistency,
        write_consistency=write_consistency,
        layout=layout,
    )
