"""Store URLs: how they are parsed, and the one-line reason for each that is invalid."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repositories.address import BadAddress, Host, address_of
from repositories.documents.mongo.target import target_of as mongo
from repositories.feeds.cassandra.target import target_of as cassandra
from repositories.hot.redis.target import target_of as redis
from repositories.postgres.target import conninfo_of as postgres
from repositories.sqlite.file import path_of

SECRET = "s3cr3tpart"  # part of each invalid URL; no reason may contain it


def test_an_address_is_taken_apart_and_decoded() -> None:
    found = address_of("x://me:p%40%2F%3Ass@a:1,[::1]:2,b/the%20path?one=a%26b&two=", options={"one", "two"})
    assert (found.scheme, found.user, found.password, found.path) == ("x", "me", "p@/:ss", "the path")
    assert found.hosts == (Host("a", 1), Host("::1", 2), Host("b", None))
    assert found.options == {"one": "a&b", "two": ""}
    assert found.server == "a:1,[::1]:2,b"


@pytest.mark.parametrize(
    "url",
    [
        f"x://u:{SECRET}/p@h/db",
        f"x://u:{SECRET}?p@h/db",
        f"x://u:{SECRET}#p@h/db",
        f"x://u:{SECRET}@p@h/db",
        f"x://u:{SECRET}:p@h/db",
        f"x://u:{SECRET}%p@h/db",
        f"x://u:{SECRET} p@h/db",
        f"x://u:{SECRET}%00p@h/db",
        f"x://u:{SECRET}@h:{SECRET}/db",
        f"x://u:{SECRET}@h:0/db",
        f"x://u:{SECRET}@h:65536/db",
        f"x://u:{SECRET}@h:/db",
        f"x://u:{SECRET}@h:-1/db",
        f"x://u:{SECRET}@h,/db",
        f"x://u:{SECRET}@[::1/db",
        f"x://u:{SECRET}@[zz]:1/db",
        f"x://u:{SECRET}@h/db#frag",
        f"x://u:{SECRET}@h/db?{SECRET}=1",
        f"x://u:{SECRET}@h/db?known",
        f"x://u:{SECRET}@h/db?known=1&known=2",
        f"x:u:{SECRET}@h/db",
        f"x://u:{SECRET}@h/db\n",
    ],
)
def test_a_malformed_url_has_a_reason_without_its_text(url: str) -> None:
    with pytest.raises(BadAddress) as refused:
        address_of(url, options={"known"})
    reason = str(refused.value)
    assert reason
    assert "\n" not in reason
    assert SECRET not in reason


def test_postgresql_takes_several_hosts_and_options_of_libpq() -> None:
    found = postgres("postgresql://me:p%40ss@h1:5432,h2/db?sslmode=verify-full&sslrootcert=/a%20b.pem")
    assert not found.pooled
    assert found.keywords == {
        "user": "me",
        "password": "p@ss",
        "dbname": "db",
        "sslmode": "verify-full",
        "sslrootcert": "/a b.pem",
    }
    assert found.hosts == ({"host": "h1", "port": "5432"}, {"host": "h2", "port": "5432"})
    socket = postgres("postgresql:///db?host=/run/postgresql")
    assert (socket.keywords, socket.hosts) == ({"dbname": "db"}, ({"host": "/run/postgresql"},))
    assert postgres("postgresql://[::1]:1,h2:2/db?target_session_attrs=read-write&hostaddr=::1,10.0.0.2").hosts == (
        {"host": "::1", "port": "1", "hostaddr": "::1"},
        {"host": "h2", "port": "2", "hostaddr": "10.0.0.2"},
    )
    assert postgres("postgresql:///?service=main").hosts == ({},)
    assert postgres("postgresql://h/db?pool_mode=transaction").pooled


def test_cassandra_takes_tls_and_authentication() -> None:
    found = cassandra("cassandra://me:p%40ss@a:1,[::1]:2,b/feeds_1?datacenter=dc2&ssl_ca_certs=/ca.pem")
    assert found.hosts == (("a", 1), ("::1", 2), ("b", 9042))
    assert (found.keyspace, found.datacenter, found.user, found.password) == ("feeds_1", "dc2", "me", "p@ss")
    assert found.tls is not None
    assert (found.tls.ca_certs, found.tls.check_hostname) == ("/ca.pem", True)
    plain = cassandra("cassandra://a/x?ssl=true").tls
    assert plain is not None
    assert plain.context().check_hostname
    assert cassandra("cassandra://a/x?ssl=false").tls is None


def test_redis_takes_a_database_and_tls() -> None:
    found = redis("rediss://me:p%40ss@h:7/3?ssl_ca_certs=/ca.pem&ssl_check_hostname=false")
    assert (found.scheme, found.server, found.sentinels) == ("rediss", "h:7", ())
    assert found.options == {
        "host": "h",
        "port": 7,
        "db": 3,
        "username": "me",
        "password": "p@ss",
        "ssl_ca_certs": "/ca.pem",
        "ssl_check_hostname": False,
    }
    assert redis("unix:///run/redis.sock?db=2").options == {"path": "/run/redis.sock", "db": 2}


def test_redis_takes_sentinels() -> None:
    found = redis("redis+sentinel://me:pass@s1:1,[::1],s3/main/2?sentinel_password=word")
    assert (found.scheme, found.master, found.server) == ("redis", "main", "s1:1,[::1],s3/main")
    assert found.options == {"username": "me", "password": "pass", "db": 2}
    assert found.sentinels == (
        {"password": "word", "host": "s1", "port": 1},
        {"password": "word", "host": "::1", "port": 26379},
        {"password": "word", "host": "s3", "port": 26379},
    )
    encrypted = redis("rediss+sentinel://s1/main?ssl_ca_certs=/ca.pem")
    assert encrypted.sentinels == ({"ssl_ca_certs": "/ca.pem", "host": "s1", "port": 26379},)
    assert (encrypted.scheme, encrypted.options) == ("rediss", {"ssl_ca_certs": "/ca.pem", "db": 0})


def test_redis_takes_nodes_of_a_cluster() -> None:
    found = redis("redis+cluster://me:pass@h1:1,[::1]")
    assert (found.scheme, found.server, found.sentinels) == ("redis", "h1:1,[::1]", ())
    signed_in = {"username": "me", "password": "pass"}
    assert found.options == signed_in
    assert found.nodes == ({**signed_in, "host": "h1", "port": 1}, {**signed_in, "host": "::1", "port": 6379})
    encrypted = redis("rediss+cluster://h1?ssl_ca_certs=/ca.pem")
    assert (encrypted.scheme, encrypted.options) == ("rediss", {"ssl_ca_certs": "/ca.pem"})


def test_mongodb_takes_several_hosts_and_options_of_its_driver() -> None:
    assert mongo("mongodb://me:p%40ss@h1,h2:3/db?replicaSet=rs0&tls=true").server == "h1,h2:3"
    # Parsed without DNS.
    assert mongo("mongodb+srv://cluster.invalid/db?retryWrites=true").hosts == (Host("cluster.invalid", None),)


@pytest.mark.parametrize(
    ("read", "url"),
    [
        (postgres, "postgresql://h/db?sslmode=maybe"),
        (postgres, "postgresql://h/db?sslmod=require"),
        (postgres, "postgresql://h/db?password=x"),
        (postgres, "postgresql://h/db?connect_timeout=soon"),
        (postgres, "postgresql://h/db?keepalives_idle="),
        (postgres, "postgresql://h/db?gssencmode=perhaps"),
        (postgres, "postgresql://h/db?target_session_attrs=writable"),
        (postgres, "postgresql://h1,h2/db?target_session_attrs=standby"),
        (postgres, "postgresql://h1,h2/db?hostaddr=10.0.0.1"),
        (postgres, "postgresql://h/db?host=/run/postgresql"),
        (postgres, "postgresql://h/db?pool_mode=statement"),
        (postgres, "postgresql:///db"),
        (mongo, "mongodb://h/db?tsl=true"),
        (mongo, "mongodb://h/db?tls=maybe"),
        (mongo, "mongodb://h/a.b"),
        (mongo, "mongodb://h/db?tls=true&tlsCAFile=/nowhere/ca.pem"),
        (mongo, "mongodb+srv://h:27017/db"),
        (mongo, "mongodb+srv://h1,h2/db"),
        (mongo, "mongodb://h/db?readPreference=nearest"),
        (mongo, "mongodb://h/db?readpreference=secondary"),
        (mongo, "mongodb://h/db?readPreference=secondaryPreferred&readPreferenceTags=dc:ny"),
        (mongo, "mongodb://h/db?readPreference=secondaryPreferred&maxStalenessSeconds=120"),
        (mongo, "mongodb:///db"),
        (cassandra, "cassandra://a/"),
        (cassandra, "cassandra:///feeds"),
        (cassandra, "cassandra://a/x;y"),
        (cassandra, "cassandra://a,/x"),
        (cassandra, "cassandra://a/x?sll=true"),
        (cassandra, "cassandra://a/x?ssl=perhaps"),
        (cassandra, "cassandra://a/x?ssl=false&ssl_ca_certs=/ca.pem"),
        (cassandra, "cassandra://a/x?ssl_keyfile=/key.pem"),
        (redis, "redis://h/one"),
        (redis, "redis://h/1?db=2"),
        (redis, "redis://h?socket_timeout=5"),
        (redis, "redis://h?ssl_ca_certs=/ca.pem"),
        (redis, "rediss://h?ssl_cert_reqs=maybe"),
        (redis, "redis://h1,h2/0"),
        (redis, "redis:///0"),
        (redis, "redis+sentinel://s1,s2"),
        (redis, "redis+sentinel:///main/0"),
        (redis, "redis+sentinel://s1/main/one"),
        (redis, "redis+sentinel://s1/main?ssl_ca_certs=/ca.pem"),
        (redis, "redis+cluster://h1,h2/0"),
        (redis, "redis+cluster://h1,h2?db=0"),
        (redis, "redis+cluster://"),
        (redis, "unix://"),
        (path_of, "sqlite:///:memory:"),
        (path_of, "sqlite://"),
        (path_of, "sqlite:///"),
        (path_of, "sqlite:///file:x?mode=memory"),
        (path_of, "sqlite:///file:x"),
        (path_of, "sqlite:///var/q.db?mode=ro"),
        (path_of, "sqlite:///var/q#1.db"),
        (path_of, "sqlite://var/q.db"),
        (path_of, "sqlite:////"),
        (path_of, "sqlite:////tmp"),
    ],
)
def test_options_that_would_be_ignored_are_refused(read: Callable[[str], Any], url: str) -> None:
    with pytest.raises(BadAddress):
        read(url)


def test_a_file_is_relative_or_absolute() -> None:
    assert path_of("sqlite:///var/q.db") == Path("var/q.db")
    assert path_of("sqlite:////var/lib/q%231.db") == Path("/var/lib/q#1.db")
