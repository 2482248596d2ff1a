"""Retention: what of a chain is kept, pinned, given up, and who takes it away (docs/adr/0013-collection.md)."""
