"""The write path every domain stands on: ledger, fold, segments, chain, reader. Knows no domain."""
