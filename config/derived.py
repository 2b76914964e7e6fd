"""Values derived from the settings."""

import re
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network

from config.reading import listed

ADDRESS = re.compile(r"([A-Za-z0-9._-]+|\[[0-9a-f:.]+\]):([1-9][0-9]{0,4})")
_REDIS = ("redis", "rediss", "redis+sentinel", "rediss+sentinel", "unix")
# The schemes that each role's URL may have.
SCHEMES = {
    "relational_url": ("postgresql", "sqlite"),
    "documents_url": ("mongodb", "mongodb+srv", "postgresql", "sqlite"),
    "feeds_url": ("cassandra", "postgresql", "sqlite"),
    "sessions_url": (*_REDIS, "postgresql", "sqlite"),
    "cache_url": (*_REDIS, "redis+cluster", "rediss+cluster", "postgresql", "sqlite"),
}


class Derived:
    """Base class of `Settings` with the derived values."""

    env: str
    secret_key: str
    previous_secret_keys: str
    anchor_key: str
    cors_origins: str
    metrics: bool
    metrics_address: str
    log_format: str
    relay: str
    mail_url: str
    sinks: str
    webhooks_token: str
    webhooks_networks: str
    console_relays: str

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secret keys, newest first. The first one signs, all verify."""
        return (self.secret_key, *listed(self.previous_secret_keys))

    @property
    def anchor_secrets(self) -> tuple[str, ...]:
        """The keys that sign and verify anchors, in the same order; `secrets` if none are set."""
        return listed(self.anchor_key) or self.secrets

    @property
    def webhooks_inside(self) -> tuple[IPv4Network | IPv6Network, ...]:
        return tuple(ip_network(one) for one in listed(self.webhooks_networks))

    @property
    def relays(self) -> tuple[str, ...]:
        """`host:port` of each external relay's metrics, for the console."""
        return listed(self.console_relays)

    @property
    def webhooks_tokens(self) -> tuple[str, ...]:
        return listed(self.webhooks_token)

    @property
    def logs_events(self) -> bool:
        """Whether events are written to the event log, for sinks and webhooks."""
        return bool(self.sinks or self.webhooks_token)

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins whose pages may use the API from a browser."""
        return listed(self.cors_origins)

    @property
    def metrics_at(self) -> tuple[str, int]:
        """Host and port of the separate address for metrics; port 0 if there is none."""
        found = ADDRESS.fullmatch(self.metrics_address) if self.metrics else None
        return (found[1].strip("[]"), int(found[2])) if found else ("", 0)

    @property
    def engines(self) -> dict[str, str]:
        """The scheme of each role's URL, by role."""
        return {name.removesuffix("_url"): getattr(self, name).split(":", 1)[0] for name in SCHEMES}

    @property
    def embedded_roles(self) -> tuple[str, ...]:
        return tuple(role for role, scheme in self.engines.items() if scheme == "sqlite")

    @property
    def log_form(self) -> str:
        """`json` or `console`."""
        by_environment = "json" if self.env == "production" else "console"
        return by_environment if self.log_format == "auto" else self.log_format

    @property
    def relay_inline(self) -> bool:
        return self.relay == "inline" or (self.relay == "auto" and len(self.embedded_roles) == len(SCHEMES))

    @property
    def mailer_url(self) -> str:
        """The URL of the mailer. In production the default is `none://`, since `print://` prints the mailed tokens."""
        return self.mail_url or ("none://" if self.env == "production" else "print://")

    def seconds(self, role: str) -> timedelta:
        """The timeout of one call to `role`, such as `relational` or `sinks`."""
        return timedelta(seconds=getattr(self, f"{role}_timeout"))
