"""The flights demo: real data, written and registered through the public API."""
