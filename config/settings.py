"""All settings: typed, read once from `QUARTET_*`, validated at boot.

An invalid value stops the process with the variable's name in the message. The table in `docs/configuration.md` lists
every setting; a test compares the two.
"""

import re
from dataclasses import dataclass, fields

import environs
from environs import validate

from config.cors_origins import is_origin
from config.derived import ADDRESS, SCHEMES, Derived
from config.reading import at_least, is_ip_address, nothing_or, platform_port, read, setting

EMBEDDED = "sqlite:///var/quartet.db"
DEVELOPMENT_SECRET = "for-development-only-never-in-production"  # noqa: S105 - refused in production
SHORTEST_SECRET = 32
COLLECTOR = re.compile(r"https?://[A-Za-z0-9._\[\]:-]+(/[!-~]*)?")


class SettingsError(Exception):
    """A setting is missing or wrong. The message names the variable."""


@dataclass(frozen=True)
class Settings(Derived):
    env: str = setting("development", "`development` or `production`", validate.OneOf(["development", "production"]))
    secret_key: str = setting(
        DEVELOPMENT_SECRET,
        "signs cursors; at least 32 characters, the same in every process",
        validate.Length(min=SHORTEST_SECRET),
    )
    previous_secret_keys: str = setting(
        "", "former values of `QUARTET_SECRET_KEY`, separated by commas: what they signed is still accepted"
    )
    anchor_key: str = setting(
        "",
        "signs anchors of the ledger, at least 32 characters; further keys, separated by commas, only verify. "
        "Empty: `QUARTET_SECRET_KEY` and its former values",
    )
    anchor_folder: str = setting("", "folder to which the relay writes anchors of the ledger; empty: none are written")
    anchor_seconds: float = setting(3600.0, "seconds between anchors", at_least(1))
    relational_url: str = setting(EMBEDDED, "accounts, follows, likes, stock: `postgresql://` or `sqlite:///`")
    relational_replicas: str = setting(
        "",
        "standbys that reads may go to: `host:port,host:port`, with all other parts as in the URL, or complete URLs",
    )
    documents_url: str = setting(
        EMBEDDED, "posts, comments, products: `mongodb://` (a replica set), `postgresql://` or `sqlite:///`"
    )
    feeds_url: str = setting(EMBEDDED, "timelines: `cassandra://host:port/keyspace`, `postgresql://` or `sqlite:///`")
    sessions_url: str = setting(
        EMBEDDED, "signed-in devices: `redis://` (append-only, noeviction), `postgresql://` or `sqlite:///`"
    )
    cache_url: str = setting(EMBEDDED, "hot reads: `redis://` (no persistence, LFU), `postgresql://` or `sqlite:///`")
    allow_embedded: bool = setting(False, "lets production run on embedded stores")
    host: str = setting("127.0.0.1", "IP address to serve on", is_ip_address)
    port: int = setting(8000, "port to serve on; `PORT` overrides it", validate.Range(min=1, max=65535))
    workers: int = setting(2, "server processes", at_least(1))
    threads: int = setting(4, "requests that each process runs at once, and connections to each store", at_least(1))
    queue_seconds: float = setting(
        0.2,
        "seconds that requests may wait for a thread under overload; further ones get a 503. 0: no limit",
        at_least(0),
    )
    body_seconds: float = setting(10.0, "seconds that the body of a request may take to arrive", at_least(0.1))
    drain_seconds: float = setting(
        1.0,
        "seconds that a server continues after SIGTERM, while `/health/ready` is a 503 and connections are closed",
        at_least(0),
    )
    streams: int = setting(256, "maximum of live streams in each process", at_least(0))
    relay: str = setting(
        "auto",
        "`inline`: a thread of the server; `external`: `quartet relay`; `auto`: inline when every store is embedded",
        validate.OneOf(["auto", "inline", "external"]),
    )
    relay_poll_seconds: float = setting(0.2, "seconds between polls of an idle relay", at_least(0.01))
    relay_lease_seconds: float = setting(30.0, "seconds that a relay's lease on claimed events lasts", at_least(1))
    relay_attempts: int = setting(8, "failed tries after which an event is dead-lettered", at_least(1))
    sinks: str = setting("", "brokers that events are sent to: `amqp://`, `amqps://`, `kafka://`, separated by commas")
    sinks_source: str = setting("/quartet", "the `source` of events, unique to this system", validate.Length(min=1))
    sinks_timeout: float = setting(10.0, "seconds that a sink may take to acknowledge a batch", at_least(0.1))
    sinks_lease_seconds: float = setting(
        60.0, "seconds until another relay takes over the sinks of one that died", at_least(1)
    )
    sinks_kept_days: float = setting(7.0, "days that events are kept after every sink has sent them", at_least(0))
    webhooks_token: str = setting(
        "", "bearer token of `/operator/webhooks`, at least 32 characters; empty: no webhooks"
    )
    webhooks_networks: str = setting(
        "",
        "networks such as `10.0.0.0/8` that webhooks may go to besides public addresses, also without TLS, separated "
        "by commas",
    )
    webhooks_timeout: float = setting(10.0, "seconds that a receiver may take to answer", at_least(0.1))
    webhooks_wait_seconds: float = setting(
        900.0, "maximum of seconds between two attempts at a failing receiver", at_least(0.01)
    )
    webhooks_event_hours: float = setting(3.0, "hours of attempts at one event before it is dead-lettered", at_least(0))
    webhooks_receiver_hours: float = setting(
        120.0, "hours after which a receiver that accepts nothing is disabled", at_least(0)
    )
    webhooks_overlap_hours: float = setting(
        24.0, "hours for which messages are also signed with a replaced secret", at_least(0)
    )
    search_url: str = setting(
        "", "full-text search service for posts and products, `http://` or `https://`; empty: no search"
    )
    search_timeout: float = setting(1.0, "seconds that the search service may take", at_least(0.05))
    fanout_chunk: int = setting(2500, "followers per step of a fan-out, at most", at_least(1))
    fanout_slice_seconds: float = setting(0.5, "seconds after which a fan-out yields to other events", at_least(0))
    pull_threshold: int = setting(
        500_000,
        "deliveries a day (followers x posts) above which readers pull an author's posts",
        at_least(1),
    )
    pull_seconds: float = setting(60.0, "minimum of seconds that an author stays pulled", at_least(0))
    deliveries_per_second: int = setting(
        20_000, "deliveries a second that one relay makes; posts above that are pulled. 0: no limit", at_least(0)
    )
    dormant_days: float = setting(
        30.0,
        "days after which an inactive reader becomes dormant: the feed is dropped, and refilled on return",
        at_least(0.00001),
    )
    rebuild_posts: int = setting(1000, "newest posts with which a feed is refilled", at_least(1))
    backfill_posts: int = setting(500, "newest posts of an account copied into a new follower's feed", at_least(1))
    home_top_entries: int = setting(240, "newest entries of a reader's home feed that the cache holds", at_least(1))
    feeds_retention_days: float = setting(
        90.0, "days that home timelines keep entries; older pages are pulled", at_least(1)
    )
    feeds_author_bucket_days: int = setting(90, "days of an author's timeline in one Cassandra partition", at_least(1))
    feeds_home_bucket_days: int = setting(
        10, "days of home timelines, or of notifications, in one partition", at_least(1)
    )
    feeds_peak_per_day: int = setting(
        20_000,
        "expected maximum of entries a day in one timeline; with the bucket widths it keeps partitions below 100 MB",
        at_least(1),
    )
    feeds_replication: str = setting("1", "keyspace replication: `3`, or `dc1:3,dc2:3`")
    feeds_read_consistency: str = setting("LOCAL_QUORUM", "Cassandra consistency level of reads")
    feeds_write_consistency: str = setting("LOCAL_QUORUM", "Cassandra consistency level of writes")
    boot_seconds: float = setting(
        5.0,
        "seconds that a command waits at its start for stores that do not answer or take no writes yet, and for an "
        "address in use",
        at_least(0),
    )
    request_timeout: float = setting(
        5.0, "seconds that all calls of a request to the stores may take together", at_least(0.05)
    )
    relational_timeout: float = setting(2.0, "seconds a call to the relational store may take", at_least(0.05))
    documents_timeout: float = setting(2.0, "seconds a call to the document store may take", at_least(0.05))
    feeds_timeout: float = setting(2.0, "seconds a call to the feed store may take", at_least(0.05))
    sessions_timeout: float = setting(0.5, "seconds a call to the session store may take", at_least(0.01))
    cache_timeout: float = setting(0.1, "seconds a call to the cache may take", at_least(0.01))
    views_seconds: float = setting(
        5.0, "seconds between flushes of view counts from the cache to the documents", at_least(0)
    )
    source_concurrency: int = setting(
        0,
        "concurrent reads of the stores by one process when the cache misses or is away; 0: as many as threads",
        at_least(0),
    )
    cache_seconds: int = setting(3600, "seconds that cached reads live", at_least(1))
    fast_path: bool = setting(True, "answers kept pages without going through Flask")
    shared_seconds: int = setting(
        5, "seconds that shared caches may serve an anonymous answer without revalidation; 0: not at all", at_least(0)
    )
    rate_per_second: float = setting(
        0.0, "requests a second per account, or per address without one; 0: no limit", at_least(0)
    )
    rate_burst: int = setting(100, "burst of requests that this limit allows", at_least(1))
    login_failures: int = setting(
        10, "failed sign-ins a minute to one account from one address; 0: no limit at all", at_least(0)
    )
    address_login_failures: int = setting(
        20, "failed sign-ins a minute from one address, to any accounts; 0: no limit", at_least(0)
    )
    registrations: int = setting(200, "registrations an hour from one address; 0: no limit", at_least(0))
    mail_url: str = setting(
        "",
        "mail transport: `smtp://user:password@host:587`, `smtps://`, `print://` or `none://`; "
        "empty: printed in development, none sent in production",
    )
    mail_from: str = setting("quartet@localhost", "the sender of mail")
    mail_app_url: str = setting("", "base URL of the app for links in mails; empty: mails contain the bare token")
    mail_timeout: float = setting(5.0, "seconds that sending one mail may take", at_least(0.1))
    mails: int = setting(5, "mails an hour to one account; 0: no limit", at_least(0))
    proxies: int = setting(0, "number of your own proxies in front that append to `QUARTET_PROXY_HEADER`", at_least(0))
    proxy_header: str = setting(
        "X-Forwarded-For",
        "`X-Forwarded-For`, or `Forwarded` (RFC 7239), for which no other header name can be mistaken",
        validate.OneOf(["X-Forwarded-For", "Forwarded"]),
    )
    cors_origins: str = setting(
        "", "origins of browser apps that may use the API, separated by commas, such as `https://app.example.com`"
    )
    session_days: float = setting(30.0, "days until a session expires", at_least(0.001))
    hash_concurrency: int = setting(2, "password hashes that one process computes at once", at_least(1))
    console_token: str = setting(
        "",
        "signs operators in at `/console`, at least 32 characters. Empty: in development the console is open to this "
        "machine, in production it is off",
        nothing_or(validate.Length(min=SHORTEST_SECRET)),
    )
    console_relays: str = setting("", "metrics addresses of external relays, for the console: `host:port,host:port`")
    metrics: bool = setting(True, "serves metrics for Prometheus at `/metrics`")
    metrics_address: str = setting(
        "", "`host:port` that serves metrics in place of the server's port; empty: the server's port"
    )
    relay_metrics_port: int = setting(
        0, "port on which `quartet relay` serves its metrics; 0: none", validate.Range(min=0, max=65535)
    )
    traces_url: str = setting(
        "",
        "receiver of spans by OTLP over HTTP, such as `http://127.0.0.1:4318`; empty: none. Needs `quartet[traces]`",
    )
    traces_sampled: float = setting(
        1.0,
        "recorded share of the traces that begin here; for other traces the caller decides",
        validate.Range(min=0, max=1),
    )
    slow_seconds: float = setting(
        0.0,
        "store calls that take at least this many seconds are logged, with statement and plan; 0: none",
        at_least(0),
    )
    log_level: str = setting(
        "info",
        "`debug`, `info`, `warning`, `error`",
        validate.OneOf(["debug", "info", "warning", "error"]),
    )
    log_format: str = setting(
        "auto",
        "`json`, `console` (for people), or `auto`: `json` in production and `console` in development",
        validate.OneOf(["auto", "json", "console"]),
    )

    @classmethod
    def from_env(cls) -> "Settings":
        """Read `QUARTET_*` from the environment, and from `.env` in the working directory if there is one.

        Raises `SettingsError`.
        """
        env = environs.Env(prefix="QUARTET_")
        try:
            env.read_env(".env", recurse=False)
            settings = cls(**{f.name: read(env, f) for f in fields(cls)} | platform_port())
        except environs.EnvError as error:
            raise SettingsError(str(error)) from error
        settings.validate()
        return settings

    def validate(self) -> None:
        for name, schemes in SCHEMES.items():
            if getattr(self, name).split(":", 1)[0] not in schemes:
                raise SettingsError(f"QUARTET_{name.upper()}: the scheme must be one of {', '.join(schemes)}")
        for name, secrets in (
            ("PREVIOUS_SECRET_KEYS", self.secrets),
            ("ANCHOR_KEY", self.anchor_secrets),
            ("WEBHOOKS_TOKEN", self.webhooks_tokens),
        ):
            if any(len(secret) < SHORTEST_SECRET for secret in secrets):
                raise SettingsError(f"QUARTET_{name}: each must have at least {SHORTEST_SECRET} characters")
        self._validate_places()
        if self.env == "production":
            self._validate_production()

    def _validate_places(self) -> None:
        for origin in self.origins:
            if not is_origin(origin):
                raise SettingsError(
                    f"QUARTET_CORS_ORIGINS: {origin!r} is not an origin as browsers send it, such as https://app.example.com"
                )
        try:
            _ = self.webhooks_inside
        except ValueError:
            raise SettingsError("QUARTET_WEBHOOKS_NETWORKS: must be networks such as 10.0.0.0/8,fd00::/8") from None
        if self.metrics_address and not ADDRESS.fullmatch(self.metrics_address):
            raise SettingsError("QUARTET_METRICS_ADDRESS: must be a host and port such as 127.0.0.1:9000")
        if not all(ADDRESS.fullmatch(one) for one in self.relays):
            raise SettingsError("QUARTET_CONSOLE_RELAYS: must be hosts and ports such as 127.0.0.1:9100,relay:9000")
        if self.traces_url and not COLLECTOR.fullmatch(self.traces_url):
            raise SettingsError("QUARTET_TRACES_URL: must be the URL of a collector such as http://127.0.0.1:4318")

    def _validate_production(self) -> None:
        if DEVELOPMENT_SECRET in self.secrets:
            raise SettingsError("QUARTET_SECRET_KEY: production needs a secret of its own")
        for name in SCHEMES:
            if getattr(self, name).startswith("sqlite:") and not self.allow_embedded:
                raise SettingsError(
                    f"QUARTET_{name.upper()}: production refuses an embedded store, unless QUARTET_ALLOW_EMBEDDED=true"
                )
