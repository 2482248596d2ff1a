"""Events that callers hand in themselves, in the envelopes of the contract: what they may hold, and who may say it."""
