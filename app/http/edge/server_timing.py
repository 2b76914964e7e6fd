"""`Server-Timing` (W3C): what an answer cost, store by store."""

from app.telemetry import spans
from repositories.meter import Tally


def server_timing(tally: Tally, seconds: float) -> str:
    """The W3C header's value: each store with its milliseconds and round trips, in the order of first use.

    Behind them the `traceparent` of a trace that is recorded, where browsers' agents look for it.
    """
    stores = [
        f'{store};dur={spent * 1000:.2f};desc="{int(trips)} round trip{"" if trips == 1 else "s"}"'
        for store, (trips, spent) in tally.stores.items()
    ]
    traced = [f'traceparent;desc="{spans.traceparent()}"'] if spans.trace_id() else []
    return ", ".join([*stores, f"app;dur={seconds * 1000:.2f}", *traced])
