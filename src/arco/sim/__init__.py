"""The deterministic world: the real protocol code under virtual time, a seeded scheduler and a faulty store."""
