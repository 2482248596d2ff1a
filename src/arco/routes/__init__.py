"""HTTP routes, one file per resource: decode, call, encode."""
