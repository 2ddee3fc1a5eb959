"""The same answer, computed on the host from the same files by other means: one pass, no pandas."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Answer = Mapping[str, Any]

_PISTON_OR_ROTOR = {"Reciprocating", "4 Cycle", "Turbo-shaft"}
# FAA form: N, one to five digits of which the first is not 0, and at most two letters, never I or O.
_TAIL_NUMBER = re.compile(r"N[1-9]\d{0,4}[A-HJ-NP-Z]{0,2}")


class _Mean:
    def __init__(self) -> None:
        self.total = 0
        self.count = 0

    def add(self, value: int) -> None:
        self.total += value
        self.count += 1

    @property
    def value(self) -> float:
        return self.total / self.count


def compute(files: Mapping[str, Path]) -> Answer:
    """The answer that the agent should have found, from the untouched files."""
    misfiled_planes = {
        row["tailnum"] for row in _rows(files["planes.csv"]) if row["engine"] in _PISTON_OR_ROTOR
    }
    names = {row["carrier"]: row["name"] for row in _rows(files["airlines.csv"])}
    rain = {
        (row["origin"], row["time_hour"]): float(row["precip"])
        for row in _rows(files["weather.csv"])
        if row["precip"] != "NA"
    }
    status: Counter[str] = Counter()
    flights_by_month: Counter[str] = Counter()
    cancelled_by_month: Counter[str] = Counter()
    by_hour: defaultdict[str, _Mean] = defaultdict(_Mean)
    on_time: defaultdict[str, _Mean] = defaultdict(_Mean)
    by_rain: defaultdict[bool, _Mean] = defaultdict(_Mean)
    misfiled = invalid = 0

    for row in _rows(files["flights.csv.zip"]):
        flights_by_month[row["month"]] += 1
        misfiled += row["tailnum"] in misfiled_planes
        invalid += row["tailnum"] != "NA" and not _TAIL_NUMBER.fullmatch(row["tailnum"])
        if row["dep_delay"] == "NA":
            status["cancelled"] += 1
            cancelled_by_month[row["month"]] += 1
            continue
        delay = int(row["dep_delay"])
        by_hour[row["hour"]].add(delay)
        fell = rain.get((row["origin"], row["time_hour"]))
        if fell is not None:
            by_rain[fell > 0].add(delay)
        if row["arr_delay"] == "NA":
            status["diverted"] += 1
            continue
        for group in ("all", names[row["carrier"]]):
            on_time[group].add(int(row["arr_delay"]) < 15)

    share = {name: 100 * mean.value for name, mean in on_time.items() if name != "all" and mean.count >= 1000}
    hours = {hour: mean.value for hour, mean in by_hour.items()}
    months = {month: 100 * cancelled_by_month[month] / total for month, total in flights_by_month.items()}
    return {
        "flights": flights_by_month.total(),
        "cancelled": status["cancelled"],
        "diverted": status["diverted"],
        "on_time_percent": round(100 * on_time["all"].value, 2),
        "worst_hour": _largest(hours),
        "worst_month_cancelled_percent": _largest(months),
        "best_airline": _largest(share),
        "worst_airline": _smallest(share),
        "delay_dry": round(by_rain[False].value, 2),
        "delay_rain": round(by_rain[True].value, 2),
        "flights_by_misfiled_planes": misfiled,
        "flights_with_invalid_tail_number": invalid,
    }


def count_clean(path: Path) -> Counter[str]:
    """Rows of the agent's clean table by status."""
    return Counter(row["status"] for row in _rows(path))


def differences(found: Answer, expected: Answer) -> list[str]:
    """What the agent got wrong, one line each."""
    return [
        f"{key}: the agent says {found.get(key)}, the host computes {value}"
        for key, value in expected.items()
        if not _same(found.get(key), value)
    ]


def _same(left: Any, right: Any) -> bool:
    if isinstance(right, dict):
        return (
            isinstance(left, dict)
            and left.keys() == right.keys()
            and all(_same(left[k], right[k]) for k in right)
        )
    if isinstance(right, float):
        # Two correct sums may round the second decimal differently.
        return isinstance(left, int | float) and abs(left - right) <= 0.011
    return bool(left == right)


def _largest(values: Mapping[str, float]) -> dict[str, float]:
    key = max(values, key=lambda name: values[name])
    return {key: round(values[key], 2)}


def _smallest(values: Mapping[str, float]) -> dict[str, float]:
    key = min(values, key=lambda name: values[name])
    return {key: round(values[key], 2)}


def _rows(path: Path) -> Iterator[dict[str, str]]:
    if path.suffix != ".zip":
        with path.open(newline="") as text:
            yield from csv.DictReader(text)
        return
    with zipfile.ZipFile(path) as archive, archive.open(path.stem) as raw:
        yield from csv.DictReader(io.TextIOWrapper(raw, newline=""))
