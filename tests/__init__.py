"""Tests of all parts. Examples of the property tests may take their time, and a failing one prints how to repeat it."""

from hypothesis import settings

settings.register_profile("tests", deadline=None, print_blob=True)
settings.load_profile("tests")
