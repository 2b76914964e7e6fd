"""The header `Server-Timing` (W3C): the time and the round trips of an answer, by store."""

from app.telemetry import spans
from repositories.meter import Tally


def server_timing(tally: Tally, seconds: float) -> str:
    """The header's value: the milliseconds and round trips of each store, in the order of first use, then the total.

    `seconds` is the total. If the trace is recorded, its `traceparent` follows, where browser agents look for it.
    """
    stores = [
        f'{store};dur={spent * 1000:.2f};desc="{int(trips)} round trip{"" if trips == 1 else "s"}"'
        for store, (trips, spent) in tally.stores.items()
    ]
    traced = [f'traceparent;desc="{spans.traceparent()}"'] if spans.trace_id() else []
    return ", ".join([*stores, f"app;dur={seconds * 1000:.2f}", *traced])
