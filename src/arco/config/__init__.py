"""Configuration: one table of variables, one pure loader."""
