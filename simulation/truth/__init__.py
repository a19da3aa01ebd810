"""What was acknowledged, and whether the collector shows it."""
