"""One prepared state, many tries. Each is made in a fork, so that none can spoil it for the others.

A task is set up once, in an interpreter's memory. Then every candidate, such as a model's answers to the
task, runs in a child of its own, with all of that in memory. The parent runs none of them but the best.

Usage: python examples/fork_and_try.py
"""

import asyncio
import json
import random
import statistics
from dataclasses import dataclass

from sandlot import AsyncSandbox, ForkError

CANDIDATES = {
    "takes the middle": "def median(values): return sorted(values)[len(values) // 2]",
    "forgets to sort": "def median(values): return values[len(values) // 2]",
    "never ends": "while True: pass",
    "spoils the data": "cases.clear()\ndef median(values): return 0",
    "is right": """
def median(values):
    values, half = sorted(values), len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2
""",
}
CASES = [[random.randint(-99, 99) for _ in range(random.randint(1, 40))] for _ in range(1000)]
# What is right is known here alone: a program cannot reach the marks that it gets.
EXPECTED = [statistics.median(case) for case in CASES]


@dataclass(frozen=True)
class Try:
    name: str
    score: float
    why: str = ""


async def attempt(child: AsyncSandbox, name: str) -> Try:
    """How many of the cases a candidate gets right. What it breaks is this child's alone."""
    async with child:
        defined = await child.run_code(CANDIDATES[name], timeout=3)
        answered = await child.run_code("print([median(case) for case in cases])", timeout=10)
    if error := defined.error or answered.error:
        return Try(name, 0.0, error.name)
    try:
        answers = list(json.loads("".join(answered.logs.stdout)))
    except (ValueError, TypeError):
        return Try(name, 0.0, "no answer")
    right = sum(answer == expected for answer, expected in zip(answers, EXPECTED, strict=False))
    return Try(name, right / len(EXPECTED))


async def fork(prepared: AsyncSandbox, count: int) -> list[AsyncSandbox]:
    """All of them, or none."""
    try:
        return await prepared.fork(count, timeout=120)
    except ForkError as error:
        # Those that were made run already, and nobody else would end them before their time.
        await asyncio.gather(*(child.kill() for child in error.sandboxes))
        raise


async def main() -> Try:
    """The best try."""
    async with await AsyncSandbox.create("code-interpreter", internet=False) as prepared:
        await prepared.run_code(f"cases = {CASES}")
        children = await fork(prepared, len(CANDIDATES))
        tries = await asyncio.gather(*map(attempt, children, CANDIDATES))
        for one in tries:
            print(f"{one.name:<18} {one.score:>6.1%}  {one.why}")
        best = max(tries, key=lambda one: one.score)
        await prepared.run_code(CANDIDATES[best.name])
        known = await prepared.run_code("median([3, 1, 2]), len(cases)")
        print(f"The parent goes on with the one that {best.name}: {known.text}")
        return best


if __name__ == "__main__":
    asyncio.run(main())
