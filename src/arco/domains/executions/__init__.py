"""Executions: what was materialised, one row for each materialisation (catalog.md 3.8, tier 2)."""
