"""What must be done next, as questions with lists for answers: rows in, steps out, nothing remembered."""
