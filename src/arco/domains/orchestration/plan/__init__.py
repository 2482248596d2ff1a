"""Planning: from deployed definitions and a request to the tasks of a run (orchestration.md 9)."""
