"""The database as its owner sees it: which one, roles, how long rows are kept."""
