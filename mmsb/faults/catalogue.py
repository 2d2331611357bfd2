"""Every fault by name: what the server does, and what is to become of the sample that meets it."""

from __future__ import annotations

from mmsb.faults import bodies, transport
from mmsb.faults.fault import Fault

# The order of the table in docs/reliability.md, and of the faults that prompts meet in turn.
MAKERS = (
    transport.rate_limits,
    transport.server_errors,
    transport.times,
    transport.connections,
    bodies.malformed,
    bodies.texts,
    transport.refused,
    transport.redirects,
    transport.stops,
)


def catalogue() -> dict[str, Fault]:
    """All faults by name, kind by kind."""
    return {fault.name: fault for make in MAKERS for fault in make()}
