"""Worlds that ask SQL are closed with their test."""

from tests.unit.query.conftest import _worlds_are_closed

__all__ = ["_worlds_are_closed"]
