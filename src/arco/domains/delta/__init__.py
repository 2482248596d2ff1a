"""Coordinated Delta commits: who writes which version of a table's log."""
