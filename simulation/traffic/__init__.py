"""What devices send, and when: pure and seeded."""
