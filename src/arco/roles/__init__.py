"""Composition roots: the only rooms that name concrete adapters."""
