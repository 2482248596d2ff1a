"""Configuration: one table of variables, and a pure function from an environment to settings or to every problem."""
