"""Searching: what people type as they type it, none of it twice, so that no answer is kept encoded."""

import random
from collections.abc import Callable
from typing import Any

from benchmarks.loading import SHAPES, SUBJECTS
from benchmarks.wire import alone

Row = tuple[str, float, str, str]

_PATH = "/api/v1/search?q="
_ROUNDS = 200


async def searched(port: int, names: list[tuple[str, str]]) -> list[Row]:
    """Rows of the search cases on a loaded catalog."""
    rng = random.Random(7)

    def beginning() -> str:
        word = rng.choice(SUBJECTS)
        return word[: rng.randrange(2, len(word) + 1)]

    def two() -> str:
        shape = rng.choice(SHAPES)
        return f"{rng.choice(SUBJECTS)}+{shape[: rng.randrange(2, len(shape) + 1)]}"

    cases: list[tuple[str, Callable[[], str], str]] = [
        ("beginning of a word", beginning, "<= 20"),
        ("two words", two, "<= 20"),
        ("a rare name, in part", lambda: rng.choice(names)[1][:-4], "<= 20"),
        ("a word of one name only", lambda: rng.choice(names)[1].split("_")[2], "<= 20"),
        ("a column every table has", lambda: "happened", "<= 20"),
        ("two words, one of a column", lambda: f"{rng.choice(SHAPES)}+amount", "<= 20"),
        ("words of descriptions", lambda: f"records+{rng.choice(SUBJECTS)}", "<= 20"),
        ("two subjects, which never meet", lambda: f"{rng.choice(SUBJECTS)}+{rng.choice(SUBJECTS)}", ""),
        ("three words", lambda: f"{rng.choice(SHAPES)}+{rng.choice(SUBJECTS)}+team", ""),
        ("a word nothing has", lambda: f"zz{rng.getrandbits(32):x}", "<= 20"),
    ]
    rows: list[Row] = []
    for what, query, target in cases:
        # Another limit makes another answer: nothing is measured twice.
        asked = [f"{_PATH}{query()}&limit={10 + number % 40}" for number in range(_ROUNDS)]

        def ask(number: int, asked: list[str] = asked) -> tuple[str, str, Any]:
            return ("GET", asked[number % _ROUNDS], None)

        found = await alone(port, ask, _ROUNDS)
        rows += [(f"search: {what}, p50", found.p50, "ms", ""), (f"search: {what}, p95", found.p95, "ms", target)]
    return rows
