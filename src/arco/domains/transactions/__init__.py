"""Transactions: many changes that are one fact, within a chain and across chains."""
