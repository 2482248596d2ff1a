"""A-12: comparing a secret does the same work whatever of it was guessed."""

import sys

import pytest

from arco.edge.secrets import SecretSet

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
    # What is done is asserted and not how long it took: a busy machine's times tell nothing. The digests are of equal
    # length, and comparing them takes constant time.
    secrets = SecretSet(SECRET, SECRET[::-1])
    made = [calls(secrets, guess) for guess in [*guesses(), SECRET, SECRET[::-1]]]
    assert made[0].count("compare_digest") == 2
    assert all(one == made[0] for one in made)


@pytest.mark.parametrize("offered", ["", SECRET[:-1], SECRET + "x", SECRET.upper(), "é" * 16, "\udcff", " " + SECRET])
def test_a12_only_the_whole_secret_is_the_secret(offered):
    assert not SecretSet(SECRET).holds(offered)
    assert SecretSet(SECRET, "another").holds(SECRET)


def test_a12_no_secret_is_never_a_match():
    assert not SecretSet("", "").holds("")
    assert not SecretSet()
