"""From the decision to run a task to the worker that runs it: envelope, task tokens, queues (orchestration.md 7, 8)."""
