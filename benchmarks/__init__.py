"""Measurements of arco against its targets, with the floors of the same machine in the same run.

`python -m benchmarks` runs everything; `--sizes 0,100000` makes it shorter. Nothing here is a test: figures vary,
counts do not, and counts are asserted in `tests/kernel/test_costs.py`.
"""
