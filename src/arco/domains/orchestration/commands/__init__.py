"""What callers may do to runs: every command validates, reads what it plans from, hands in its events, and answers."""
