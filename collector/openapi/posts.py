"""Every POST of measurements."""

from collector.openapi.ingest import STATS_POST, Post

POSTS: tuple[Post, ...] = (STATS_POST,)
