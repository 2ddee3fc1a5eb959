"""A workload as a picture: what was done, how long it took, what lived, what the server took."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from bench.harness import Samples
from bench.workload import Outcome

PARTS = 90
"""How many points a line over the whole time has, at most."""
SHARES = (50, 95, 99)


def draw(outcome: Outcome, path: Path) -> None:
    """Write a PNG to ``path``, making the folders above it."""
    figure, (rates, times, live, memory) = plt.subplots(4, 1, sharex=True, figsize=(10, 11))
    until = max(sight.at for sight in outcome.sights)
    width = max(1.0, until / PARTS)
    _draw_rates(rates, outcome, width)
    _draw_times(times, outcome, width)
    at = [sight.at for sight in outcome.sights]
    live.plot(at, [sight.live for sight in outcome.sights], color="tab:blue")
    live.set_ylabel("live sandboxes")
    memory.plot(at, [sight.rss_mib for sight in outcome.sights], label="resident")
    memory.plot(at, [sight.pss_mib for sight in outcome.sights], label="proportional set size")
    memory.set_ylabel("server's memory, MiB")
    memory.set_xlabel(f"seconds; all sandboxes stand at the dotted line; failures: {len(outcome.failures)}")
    memory.legend(loc="upper left", bbox_to_anchor=(1.01, 1), fontsize="small")
    for axes in (rates, times, live, memory):
        axes.axvline(outcome.steady_at, color="grey", linestyle=":")
        axes.grid(alpha=0.3)
    for axes in (rates, live, memory):
        axes.set_ylim(bottom=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _draw_rates(axes: Any, outcome: Outcome, width: float) -> None:
    counts: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for done in outcome.done:
        counts[done.operation][int(done.at / width)] += 1
    parts = range(1 + int(max((done.at for done in outcome.done), default=0) / width))
    bottoms = [0.0] * len(parts)
    for operation in sorted(counts):
        heights = [counts[operation][part] / width for part in parts]
        axes.bar([(part + 0.5) * width for part in parts], heights, width, bottom=bottoms, label=operation)
        bottoms = [bottom + height for bottom, height in zip(bottoms, heights, strict=True)]
    axes.set_ylabel("operations a second")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), fontsize="small")


def _draw_times(axes: Any, outcome: Outcome, width: float) -> None:
    for operation, style in (("exec", "-"), ("create", "--")):
        parts: dict[int, list[float]] = defaultdict(list)
        for done in outcome.done:
            if done.operation == operation:
                parts[int(done.at / width)].append(done.took_s * 1000)
        at = [(part + 0.5) * width for part in sorted(parts)]
        for share in SHARES if operation == "exec" else SHARES[:1]:
            values = [Samples(operation, parts[part]).percentile(share) for part in sorted(parts)]
            axes.plot(at, values, style, label=f"{operation} p{share}")
    axes.set_yscale("log")
    axes.set_ylabel("milliseconds")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), fontsize="small")
