"""What Prometheus reads of a server that lives, and that dashboard and docs speak of nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as plain_families

from .conftest import Make
from .wire import SANDBOXES, lines, until

DOCS = Path(__file__).parents[3] / "docs"
NAME = re.compile(r"\b(?:sandlot|process)_[a-z0-9_]+")
OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}


class Figures:
    def __init__(self, text: str) -> None:
        self._samples = [sample for family in plain_families(text) for sample in family.samples]

    def total(self, name: str, **labels: str) -> float:
        """The sum over all samples with these labels."""
        return sum(
            sample.value
            for sample in self._samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


def look(http: httpx.Client) -> Figures:
    answer = http.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    return Figures(answer.text)


def described(text: str) -> set[str]:
    """Names as PromQL knows them: counters with ``_total``, histograms without their parts."""
    return set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))


def test_a_life_shows_in_the_figures(http: httpx.Client, make: Make, isolation: str) -> None:
    before = look(http)
    id = make(isolation=isolation)
    work = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; head -c 20000000 /dev/urandom > big"
    assert lines(http.post(f"{SANDBOXES}/{id}/commands", json={"command": work}))[-1]["exit_code"] == 0
    # Figures of use may be a second old.
    during = until(
        lambda: (found := look(http)).total("sandlot_tenant_disk_bytes") >= 20_000_000 and found, "its disk"
    )
    assert used(during) >= used(before) + 0.05
    of = {"tenant": "default", "tier": isolation}
    assert rise("sandlot_sandboxes_started_total", before, during, **of) == 1
    assert during.total("sandlot_sandboxes", state="running", **of) >= 1
    assert rise("sandlot_create_seconds_count", before, during, tier=isolation) == 1
    for phase in ("prepare", "start", "connect"):
        counted = rise("sandlot_create_phase_seconds_count", before, during, tier=isolation, phase=phase)
        assert counted == 1
    assert rise("sandlot_requests_total", before, during, operation="start_command", code="200") == 1
    assert rise("sandlot_request_seconds_count", before, during, operation="create_sandbox", code="2xx") == 1
    assert during.total("sandlot_tenant_memory_bytes", tenant="default") > 0
    assert during.total("sandlot_slots", kind="network", state="claimed") >= 1
    assert during.total("sandlot_tenant_reserved_memory_bytes") >= 1024**3

    http.delete(f"{SANDBOXES}/{id}")
    after = look(http)
    assert rise("sandlot_sandboxes_ended_total", before, after, how="killed", **of) == 1
    assert used(after) >= used(during)


def used(figures: Figures) -> float:
    return figures.total("sandlot_tenant_cpu_seconds_total", tenant="default")


def rise(name: str, before: Figures, after: Figures, **labels: str) -> float:
    return after.total(name, **labels) - before.total(name, **labels)


def test_an_end_by_timeout_is_told_apart(http: httpx.Client, make: Make) -> None:
    before = look(http)
    make(isolation="container", timeout_s=1)
    until(
        lambda: rise("sandlot_sandboxes_ended_total", before, look(http), how="expired") == 1,
        "its end by timeout",
    )


def test_streams_and_requests_in_progress_are_seen(http: httpx.Client, make: Make) -> None:
    id = make(isolation="container")
    with http.stream("POST", f"{SANDBOXES}/{id}/commands", json={"command": "cat", "stdin": True}) as answer:
        said = answer.iter_lines()
        next(said)
        figures = look(http)
        assert figures.total("sandlot_requests_in_progress", operation="start_command") == 1
        assert figures.total("sandlot_streams") == 1
        assert figures.total("sandlot_connections") >= 2


def test_to_look_wakes_nobody_and_to_call_does(http: httpx.Client, make: Make, isolation: str) -> None:
    before = look(http)
    id = make(isolation=isolation)
    frozen = until(
        lambda: rise("sandlot_tenant_frozen", before, found := look(http)) >= 1 and found, "its stillness"
    )
    thaws = rise("sandlot_tenant_thaws_total", before, frozen)
    # Until it has been measured anew, more than once.
    ages = [frozen.total("sandlot_usage_age_seconds")]
    while sum(later < age for age, later in pairwise(ages)) < 2:
        now = look(http)
        ages.append(now.total("sandlot_usage_age_seconds"))
        assert rise("sandlot_tenant_frozen", frozen, now) == 0
    assert rise("sandlot_tenant_thaws_total", before, now) == thaws
    assert lines(http.post(f"{SANDBOXES}/{id}/commands", json={"command": "true"}))[-1]["exit_code"] == 0
    until(lambda: rise("sandlot_tenant_thaws_total", before, look(http)) == thaws + 1, "its waking")


def test_many_may_look_at_once(http: httpx.Client) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: http.get("/metrics").status_code, range(24)))
    assert answers == [200] * 24


def test_both_formats_can_be_read(http: httpx.Client) -> None:
    plain, modern = http.get("/metrics").text, http.get("/metrics", headers=OPENMETRICS).text
    assert {family.name for family in plain_families(plain)} == {
        family.name for family in open_families(modern)
    }


def test_it_needs_a_key(http: httpx.Client) -> None:
    assert httpx.get(f"{http.base_url}/metrics").status_code == 401


def test_the_docs_list_every_metric_and_no_other(http: httpx.Client) -> None:
    listed = set(re.findall(r"^\| `((?:sandlot|process)_\w+)` \|", (DOCS / "metrics.md").read_text(), re.M))
    assert listed == described(http.get("/metrics").text)


@pytest.fixture(scope="module")
def dashboard() -> Mapping[str, Any]:
    return dict(json.loads((DOCS / "grafana" / "sandlot.json").read_text()))


def queries(dashboard: Mapping[str, Any]) -> Iterator[str]:
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["definition"]


def test_the_dashboard_asks_only_for_what_there_is(http: httpx.Client, dashboard: Mapping[str, Any]) -> None:
    there = described(http.get("/metrics").text)
    asked = {name.removesuffix("_bucket") for query in queries(dashboard) for name in NAME.findall(query)}
    assert len(asked) > 30
    assert asked <= there, asked - there
    assert dashboard["schemaVersion"] >= 39


def test_the_dashboards_labels_are_those_of_the_metrics(
    http: httpx.Client, dashboard: Mapping[str, Any]
) -> None:
    table = re.findall(r"^\| `(\w+)` \| \w+ \|([^|]*)\|", (DOCS / "metrics.md").read_text(), re.M)
    labels = {name: {*re.findall(r"`(\w+)`", cell), "job", "le"} for name, cell in table}
    for query in queries(dashboard):
        for name, matchers in re.findall(r"((?:sandlot|process)_\w+)\{([^}]*)\}", query):
            used = set(re.findall(r"(\w+)=?[=~!]", matchers))
            assert used <= labels[name.removesuffix("_bucket")], query
