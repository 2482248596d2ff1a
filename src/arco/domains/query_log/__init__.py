"""Which questions were asked in SQL, by whom, and what became of them: the history of a workspace's queries."""
