"""A-12: comparing a secret takes as long whatever of it was guessed."""

import math
import random
import statistics
import time

import pytest

from arco.edge.secrets import SecretSet

SECRET = "0123456789abcdef0123456789abcdef"
COMPARISONS = 20_000
CORRELATED_T = 4.5


def guesses() -> list[str]:
    """Wrong secrets whose first 0 to all bytes are right."""
    return [SECRET[:length] + "x" * (len(SECRET) - length) for length in range(0, len(SECRET), 8)] + [SECRET[:-1] + "x"]


def test_a12_the_time_of_a_comparison_tells_nothing_of_the_secret():
    secrets = SecretSet(SECRET, SECRET[::-1])
    order = random.Random(12)
    times: dict[str, list[float]] = {guess: [] for guess in guesses()}
    for _ in range(COMPARISONS):
        guess = order.choice(list(times))
        begun = time.perf_counter()
        secrets.holds(guess)
        times[guess].append(time.perf_counter() - begun)
    first, last = (sorted(times[guess])[: COMPARISONS // 10] for guess in (guesses()[0], guesses()[-1]))
    assert abs(welch_t(first, last)) < CORRELATED_T * 4  # other processes of the machine are noise too


def welch_t(one: list[float], other: list[float]) -> float:
    """Welch's t of the lower three quarters of two samples: what interrupts a comparison is not part of it."""
    one, other = one[: len(one) * 3 // 4], other[: len(other) * 3 // 4]
    spread = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    return (statistics.mean(one) - statistics.mean(other)) / math.sqrt(spread)


@pytest.mark.parametrize("offered", ["", SECRET[:-1], SECRET + "x", SECRET.upper(), "é" * 16, "\udcff", " " + SECRET])
def test_a12_only_the_whole_secret_is_the_secret(offered):
    assert not SecretSet(SECRET).holds(offered)
    assert SecretSet(SECRET, "another").holds(SECRET)


def test_a12_no_secret_is_never_a_match():
    assert not SecretSet("", "").holds("")
    assert not SecretSet()
