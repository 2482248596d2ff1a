"""A-12: comparing a secret does the same work whatever of it was guessed."""

import math
import random
import statistics
import sys
import time

import pytest

from arco.core.secret_set import SecretSet

SECRET = "0123456789abcdef0123456789abcdef"


def guesses() -> list[str]:
    """Wrong secrets whose first 0 to all bytes are right."""
    return [SECRET[:length] + "x" * (len(SECRET) - length) for length in range(0, len(SECRET), 8)] + [SECRET[:-1] + "x"]


def calls(secrets: SecretSet, guess: str) -> list[str]:
    """The calls into C that a comparison makes, in order."""
    made: list[str] = []

    def note(_frame: object, event: str, function: object) -> None:
        if event == "c_call":
            made.append(getattr(function, "__name__", ""))

    sys.setprofile(note)
    try:
        secrets.holds(guess)
    finally:
        sys.setprofile(None)
    return made[: made.index("setprofile")]


def test_a12_a_comparison_does_the_same_whatever_of_the_secret_was_guessed():
    # The digests are of equal length, and comparing them takes constant time.
    secrets = SecretSet(SECRET, SECRET[::-1])
    made = [calls(secrets, guess) for guess in [*guesses(), SECRET, SECRET[::-1]]]
    assert made[0].count("compare_digest") == 2
    assert all(one == made[0] for one in made)


COMPARISONS = 20_000
ROUNDS = 12
SIGNIFICANT = 4.5
"""Welch's t beyond which two means differ for more reasons than chance (abuse-cases A-12)."""


def welch(one: list[int], two: list[int]) -> float:
    """Welch's t of two samples without their slowest tenth: what interrupts a comparison is not the comparison."""
    kept = [sorted(sample)[: len(sample) * 9 // 10] for sample in (one, two)]
    spread = sum(statistics.variance(sample) / len(sample) for sample in kept)
    return (statistics.fmean(kept[0]) - statistics.fmean(kept[1])) / math.sqrt(spread or 1.0)


def test_a12_comparisons_take_as_long_however_much_was_guessed():
    # Both kinds in turns, drawn, so that whatever else the machine does meets both alike. Chance, or where things
    # happen to lie in memory, may fool some rounds: each has objects of its own. What leaks is seen in every one.
    chance, kept, found = random.Random(12), [], []
    for _ in range(ROUNDS):
        secrets, pair = SecretSet(SECRET, SECRET[::-1]), (guesses()[0], guesses()[-1])
        times: tuple[list[int], list[int]] = ([], [])
        for kind in chance.choices((0, 1), k=COMPARISONS):
            offered = (pair[kind] + "!")[:-1]
            began = time.perf_counter_ns()
            secrets.holds(offered)
            times[kind].append(time.perf_counter_ns() - began)
        kept.append((secrets, pair, times))
        found.append(abs(welch(*times)))
        if found[-1] < SIGNIFICANT:
            return
    pytest.fail(f"Welch's t was {found}")


@pytest.mark.parametrize("offered", ["", SECRET[:-1], SECRET + "x", SECRET.upper(), "é" * 16, "\udcff", " " + SECRET])
def test_a12_only_the_whole_secret_is_the_secret(offered):
    assert not SecretSet(SECRET).holds(offered)
    assert SecretSet(SECRET, "another").holds(SECRET)


def test_a12_no_secret_is_never_a_match():
    assert not SecretSet("", "").holds("")
    assert not SecretSet()
