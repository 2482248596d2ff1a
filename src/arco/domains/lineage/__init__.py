"""Lineage edges and their traversal."""
