"""A time-series collector: every measurement is stored before it is acknowledged."""

__version__ = "0.1.0"
