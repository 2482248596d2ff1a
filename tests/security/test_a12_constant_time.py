"""A-12: comparing a secret does the same work whatever of it was guessed."""

import math
import random
import statistics
import sys
import time
from collections.abc import Callable

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
ROUNDS = 3
SIGNIFICANT = 4.5
"""Welch's t beyond which two means differ for more reasons than chance (abuse-cases A-12)."""


def welch(one: list[int], two: list[int]) -> float:
    """Welch's t of two samples without their slowest tenth: what interrupts a comparison is not the comparison."""
    kept = [sorted(sample)[: len(sample) * 9 // 10] for sample in (one, two)]
    spread = sum(statistics.variance(sample) / len(sample) for sample in kept)
    return (statistics.fmean(kept[0]) - statistics.fmean(kept[1])) / math.sqrt(spread or 1.0)


def measured(compare: Callable[[str], bool], chance: random.Random) -> float:
    """Welch's t between guesses of which nothing and all but one byte is right, over one round.

    The round is blind: every comparison has a text of its own, made in the order drawn, and what is timed and kept
    does not know the kind. So only the bytes of a guess can set the kinds apart, and not where two texts lie.
    """
    kinds = chance.choices((0, 1), k=COMPARISONS)
    pair = (guesses()[0], guesses()[-1])
    offered = [(pair[kind] + "!")[:-1] for kind in kinds]
    took = []
    for guess in offered:
        began = time.perf_counter_ns()
        compare(guess)
        took.append(time.perf_counter_ns() - began)
    samples: tuple[list[int], list[int]] = ([], [])
    for kind, nanoseconds in zip(kinds, took, strict=True):
        samples[kind].append(nanoseconds)
    return abs(welch(*samples))


def test_a12_comparisons_take_as_long_however_much_was_guessed():
    # Chance may fool one round of the three, what leaks would be seen in each.
    chance, holds = random.Random(12), SecretSet(SECRET, SECRET[::-1]).holds
    found = [measured(holds, chance) for _ in range(ROUNDS)]
    assert statistics.median(found) < SIGNIFICANT, found


def test_a12_the_measure_sees_a_comparison_that_stops_at_the_first_difference():
    def stops_early(guess: str) -> bool:
        return all(one == two for one, two in zip(guess, SECRET, strict=True))

    chance = random.Random(12)
    assert all(measured(stops_early, chance) > SIGNIFICANT for _ in range(ROUNDS))


@pytest.mark.parametrize("offered", ["", SECRET[:-1], SECRET + "x", SECRET.upper(), "é" * 16, "\udcff", " " + SECRET])
def test_a12_only_the_whole_secret_is_the_secret(offered):
    assert not SecretSet(SECRET).holds(offered)
    assert SecretSet(SECRET, "another").holds(SECRET)


def test_a12_no_secret_is_never_a_match():
    assert not SecretSet("", "").holds("")
    assert not SecretSet()
