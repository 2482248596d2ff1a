"""What user code imports: assets, partitions, checks, resources, reading and writing tables. No server room is in here.

Everybody reaches these names as `from arco import asset`; `arco/__init__.py` loads them when they are first used.
"""
