"""Things that wake by themselves. They enter by the same commands as everybody else."""
