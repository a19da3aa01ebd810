"""The drill-down on CPU: how bad it is, for whom, doing what."""
