"""The command line: thin, and taught by its own --help."""
