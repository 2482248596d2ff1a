"""Reading and writing the tables of assets: the port, what crosses it, and its implementations."""
