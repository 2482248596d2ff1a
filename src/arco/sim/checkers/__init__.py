"""Checkers of client histories: what was answered must have one explanation (reliability.md 5.4).

`appends.check_appends` for list-append with unique tokens, `registers.check_linearizable` for small state machines,
`cycles.check_transactions` for transactions over several keys. Pure functions from a history to what is wrong with it.
"""
