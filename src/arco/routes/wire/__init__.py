"""Message formats of routes that are not JSON alone."""
