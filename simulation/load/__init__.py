"""Sending: each message at its moment, whatever the collector does."""
