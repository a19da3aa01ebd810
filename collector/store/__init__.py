"""The database: the only package that imports the driver. What it raises is ours (`collector.errors`)."""
