"""Orchestration: runs of asset graphs, planned here and executed by external workers (orchestration.md)."""
