"""The storage port, its wrappers and its adapters."""
