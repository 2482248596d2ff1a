"""SQL by DataFusion over pinned snapshots and registered data."""
