"""What tests work with: real databases, real collectors, and clients that look closely."""
