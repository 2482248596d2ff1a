"""Domains: pure rows, events, rules and folds, with their commands and queries."""
