"""The helper process that sandbox children of this test process come from."""

from functools import cache

from arco.query.nursery_client import Nursery


@cache
def the_nursery() -> Nursery:
    """One for all tests: it takes half a second to start, and holds nothing of any test."""
    return Nursery()
