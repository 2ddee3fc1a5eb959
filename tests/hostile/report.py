"""The report: one page that needs nothing else, for whoever would put a stranger's code on this machine."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape

from tests.hostile.program import BAD, OUTCOMES, TIERS, Program
from tests.hostile.runner import Result, printable

CATEGORIES = {
    "escape": "Escape to the host",
    "kernel": "Interfaces of the kernel",
    "proc": "Files of /proc and /sys",
    "devices": "Devices",
    "privilege": "Gaining rights",
    "namespaces": "Namespaces, mounts, control groups",
    "files": "Files, and the files API",
    "exhaust": "Using everything up",
    "network": "The network",
    "agent": "The agent inside",
    "neighbour": "Other sandboxes, the server's API",
    "channels": "Side channels",
}

_WATCHED = """
No program is believed. After every run the host itself looks: its canary files and password files, kernel
settings, modules, swap, devices, mounts, clock and boot id must be as before; nobody may have connected to a
service of the host; a process of the host that guests are told to kill must live; no process may have left
its control group, nor the group's limits have changed; no output may hold the host's secret, the neighbour's,
the API key or the agent's secret; the neighbour must answer and have its file; the server must answer.
Anything else would stand below in red. Programs that run at the same time share the suspicion.
"""

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --dim: #777; --good: #17803d; --bad: #c81e1e; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .4rem; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; vertical-align: top; }
td, th { padding: .45rem .6rem; border-bottom: 1px solid var(--line); }
.name { width: 15rem; } .tried { width: 24rem; }
small, .dim { color: var(--dim); } .good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; }
.answer { border: 1px solid var(--line); border-radius: .5rem; padding: .9rem 1.1rem; margin: 1rem 0; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 12px; max-height: 22rem; overflow: auto; }
td { overflow-wrap: anywhere; } summary { cursor: pointer; }
dt { font-weight: 600; } dd { margin: 0 0 .3rem 1.2rem; }
"""


def html(programs: Sequence[Program], results: Sequence[Result], seconds: float) -> str:
    """Everything that came out of a guest is escaped: the page itself must not be an attack."""
    by_program = {(result.program, result.tier): result for result in results}
    tiers = [tier for tier in TIERS if any(result.tier == tier for result in results)]
    parts = [_head(programs, results, tiers, seconds)]
    for category in [name for name in CATEGORIES if any(name == one.category for one in programs)]:
        chosen = [program for program in programs if program.category == category]
        parts.append(f"<h2>{escape(CATEGORIES[category])}</h2><table><tr><th>program<th>what it tries")
        parts.append("".join(f"<th>{tier}" for tier in tiers) + "</tr>")
        parts += [
            _row(program, [by_program.get((program.name, tier)) for tier in tiers]) for program in chosen
        ]
        parts.append("</table>")
    title = "Hostile programs, and what came of them"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>{title}</h1>{''.join(parts)}</html>\n"
    )


def _head(
    programs: Sequence[Program], results: Sequence[Result], tiers: Sequence[str], seconds: float
) -> str:
    ran = [result for result in results if result.applicable]
    harmed = [result for result in ran if result.harm or result.outcome == "escaped"]
    other = [result for result in ran if not result.as_expected and result not in harmed]
    if harmed:
        answer = f'<p class="bad">Runs that reached something outside of their sandbox: {len(harmed)}.</p>'
    else:
        answer = (
            '<p class="good"><b>No program left its sandbox.</b> The host, the neighbouring sandbox and the '
            "server were as before after every one.</p>"
        )
    if other:
        answer += (
            f'<p class="bad">Runs that came out otherwise than expected, without harm: {len(other)}.</p>'
        )
    languages = Counter(program.language for program in programs)
    said = ", ".join(f"{count} in {language}" for language, count in languages.most_common())
    when = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    machine = f"Linux {platform.release()} on {platform.machine()}, {os.cpu_count()} processors"
    words = "".join(
        f"<dt>{word}</dt><dd>{escape(meaning)}</dd>" for word, meaning in (OUTCOMES | BAD).items()
    )
    return (
        f'<p class="dim">{when}; {escape(machine)}; {seconds:.0f} s</p><div class="answer">{answer}'
        f"<p>{len(programs)} programs ({escape(said)}), each in a fresh sandbox on each tier: "
        f"{len(ran)} runs.</p>{_counts(ran, tiers)}</div>"
        f"<p>{_WATCHED}</p>"
        f"<details><summary>What the words mean</summary><dl>{words}</dl></details>"
    )


def _counts(results: Iterable[Result], tiers: Sequence[str]) -> str:
    chosen = list(results)
    words = [word for word in (OUTCOMES | BAD) if any(result.outcome == word for result in chosen)]
    rows = "".join(
        f"<tr><th>{tier}"
        + "".join(f"<td>{sum(r.outcome == word for r in chosen if r.tier == tier)}" for word in words)
        for tier in tiers
    )
    return f"<table><tr><th>{''.join(f'<th>{word}' for word in words)}</tr>{rows}</table>"


def _row(program: Program, results: Iterable[Result | None]) -> str:
    user = "root" if program.user == "root" else "an ordinary user"
    cells = "".join(f"<td>{_cell(program, result) if result else ''}" for result in results)
    return (
        f'<tr id="{escape(program.name)}"><td class="name">{escape(program.path.stem.replace("_", " "))}<br>'
        f"<small>{program.language}, as {user}</small>"
        f'<td class="tried">{escape(program.tries)}<details><summary><small>the program</small></summary>'
        f"<pre>{escape(program.path.read_text())}</pre></details>{cells}</tr>"
    )


def _cell(program: Program, result: Result) -> str:
    if not result.applicable:
        return f'<span class="dim">not applicable</span><br><small>{_safe(result.said)}</small>'
    expected = program.expected[result.tier]
    mark = "good" if result.as_expected else "bad"
    remark = f" <small>{escape(expected.remark)}</small>" if expected.remark else ""
    wanted = "" if result.as_expected else f'<br><span class="bad">expected: {escape(str(expected))}</span>'
    harm = "".join(f'<br><span class="bad">{_safe(one)}</span>' for one in result.harm)
    again = ", at the second try" if result.again else ""
    output = _safe(result.output) or "(nothing)"
    after = f"{result.seconds:.1f} s{again}; the sandbox {_safe(result.sandbox)}"
    return (
        f'<span class="{mark}">{escape(result.outcome)}</span>{remark}{wanted}{harm}'
        f"<br>{_safe(result.said[:300])}<details><summary><small>{after}</small></summary>"
        f"<pre>{output}</pre></details>"
    )


def _safe(text: str) -> str:
    """What a guest wrote, without anything that a browser would obey."""
    return escape(printable(text[-3000:]))
