"""Faults under load: kills, crashes, cuts; and after each, what is stored against what was acknowledged."""
