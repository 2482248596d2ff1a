"""Questions about runs, tasks, deployments and partitions: rows of one snapshot, and what they are called in public."""
