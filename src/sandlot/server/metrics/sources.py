"""Where each figure of `/metrics` comes from, and what it is called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import Metric

from sandlot.core import creation, pausing, roster
from sandlot.core.survey import Survey
from sandlot.node import PHASES
from sandlot.node.agent import FAULTS
from sandlot.server.metrics.families import Samples, counter, counts, durations, gauge
from sandlot.server.metrics.host import Host
from sandlot.server.metrics.requests import Requests
from sandlot.store import SECONDS
from sandlot.tally import Durations

_MIB: Final = 1024 * 1024


def of_requests(requests: Requests, in_progress: Samples) -> Iterator[Metric]:
    yield durations(
        "request_seconds",
        "From a request's head to the head of its answer; code is the class of the status.",
        requests.seconds,
    )
    yield counts("requests", "Requests that ended, by status, or left or aborted.", requests.total)
    yield gauge(
        "requests_in_progress", "Requests being worked on and streams open.", in_progress, "operation"
    )


def of_process() -> Iterator[Metric]:
    """What is counted where it happens, since the process began."""
    yield durations(
        "create_seconds", "From the request for a sandbox to its agent's answer.", creation.SECONDS
    )
    yield durations(
        "create_queue_seconds", "What a creation waited for room on the machine.", creation.QUEUE_SECONDS
    )
    yield durations("create_phase_seconds", "What the machine did meanwhile, step by step.", PHASES)
    yield durations("pause_seconds", "Pauses and resumptions, by how the sandbox is kept.", pausing.SECONDS)
    yield counts("agent_errors", "Guest agents that misbehaved or could not be reached.", FAULTS)
    yield counts("out_of_memory", "Sandboxes in which something was ended for want of memory.", roster.OOMS)
    yield durations("database_seconds", "Transactions of the server's database.", SECONDS)


def of_sandboxes(survey: Survey) -> Iterator[Metric]:
    head = survey.headcount
    yield gauge("sandboxes", "Sandboxes there are.", head.living(), "tenant", "tier", "state")
    yield counts("sandboxes_started", "Sandboxes that began to run.", head.started)
    yield counts(
        "sandboxes_ended",
        "Sandboxes that ended: killed, expired, died by themselves, or failed to start.",
        head.ended,
    )


def of_tenants(survey: Survey) -> Iterator[Metric]:
    census, tenants = survey.census, survey.census.tenants
    yield counter(
        "refusals", "Creations refused, by the limit that was reached.", census.refusals, "tenant", "limit"
    )
    yield gauge("queue_length", "Creations that wait for room.", census.queued)
    yield gauge("creates_in_progress", "Sandboxes being made.", census.starting)
    queued = {(name,): one.queued for name, one in tenants.items()}
    cpus = {(name,): one.cpus for name, one in tenants.items()}
    memory = {(name,): one.memory_mib * _MIB for name, one in tenants.items()}
    disk = {(name,): one.disk_mib * _MIB for name, one in tenants.items()}
    yield gauge("tenant_queued", "Creations of a tenant that wait.", queued, "tenant")
    yield gauge("tenant_reserved_cpus", "Sum of its sandboxes' limits.", cpus, "tenant")
    yield gauge("tenant_reserved_memory_bytes", "Sum of its sandboxes' limits.", memory, "tenant")
    yield gauge("tenant_reserved_disk_bytes", "Sum of its sandboxes' limits.", disk, "tenant")


def of_use(survey: Survey) -> Iterator[Metric]:
    """By tenant. The counters hold what ended sandboxes used."""
    for make, name, help, field in (
        (counter, "tenant_cpu_seconds", "Processor time that its sandboxes used.", "cpu_seconds"),
        (gauge, "tenant_memory_bytes", "Memory that its sandboxes hold.", "memory_bytes"),
        (gauge, "tenant_disk_bytes", "Disk that its sandboxes use.", "disk_bytes"),
        (counter, "tenant_network_receive_bytes", "Bytes that its sandboxes received.", "rx_bytes"),
        (counter, "tenant_network_transmit_bytes", "Bytes that its sandboxes sent.", "tx_bytes"),
        (gauge, "tenant_frozen", "Sandboxes that stand still, having nothing to run.", "frozen"),
        (counter, "tenant_thaws", "How often a call found a sandbox frozen.", "thaws"),
    ):
        figures = {(tenant,): getattr(use, field) for tenant, use in survey.used.items()}
        yield make(name, help, figures, "tenant")
    yield gauge("usage_age_seconds", "How old the figures of use by tenant are.", survey.used_age_s)


def of_node(survey: Survey) -> Iterator[Metric]:
    stocks = survey.stocks.items()
    now = {(kind, "ready"): stock.ready for kind, stock in stocks}
    now |= {(kind, "claimed"): stock.claimed for kind, stock in stocks}
    made = {(kind,): stock.made for kind, stock in stocks}
    missed = {(kind,): stock.missed for kind, stock in stocks}
    yield gauge("slots", "Slots that stand ready, and that sandboxes have.", now, "kind", "state")
    yield counter("slots_made", "Slots that were made, ahead or on demand.", made, "kind")
    yield counter("slots_missed", "How often a slot was wanted and none stood ready.", missed, "kind")


def of_pools(survey: Survey) -> Iterator[Metric]:
    """Of hot sandboxes, by template."""
    for make, name, help, field in (
        (gauge, "pool_hot", "Hot sandboxes that stand ready.", "hot"),
        (gauge, "pool_making", "Hot sandboxes being made.", "making"),
        (gauge, "pool_wanted", "How many hot sandboxes are to stand ready.", "wanted"),
        (gauge, "pool_memory_bytes", "What those that stand ready hold.", "memory_bytes"),
        (counter, "pool_hits", "Creations that got a hot sandbox.", "hits"),
        (counter, "pool_misses", "Creations that none stood ready for.", "misses"),
        (counter, "pool_unfit", "Creations that asked for something that no hot sandbox is.", "unfit"),
    ):
        figures = {(pool.template,): getattr(pool, field) for pool in survey.pools}
        yield make(name, help, figures, "template")


def of_server(
    *, version: str, ready: bool, connections: int | None, streams: int, templates: int, lag: Durations
) -> Iterator[Metric]:
    yield gauge("build_info", "Always 1; the label is what matters.", {(version,): 1}, "version")
    yield gauge("ready", "Whether the server takes requests.", float(ready))
    yield gauge("connections", "Open connections.", connections)
    yield gauge("streams", "Open streams of output, files and terminals.", streams)
    yield gauge("templates", "Templates that are built.", templates)
    yield durations("loop_lag_seconds", "How late the server's event loop is.", lag)


def of_host(host: Host) -> Iterator[Metric]:
    for name, help, value in (
        ("memory_bytes", "Memory of the machine.", host.memory_bytes),
        ("memory_available_bytes", "Memory that could still be given.", host.memory_available_bytes),
        ("disk_bytes", "Size of the file system that holds the data folder.", host.disk_bytes),
        ("disk_available_bytes", "Space that is free on it.", host.disk_available_bytes),
        ("load1", "Load average of the last minute.", host.load),
        ("cpus", "Processors of the machine.", host.cpus),
    ):
        yield gauge(f"host_{name}", help, value)
