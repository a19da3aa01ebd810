"""Which devices there are, and what is planted in them."""
