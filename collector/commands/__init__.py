"""The commands of `collector`, a module each, and what they share."""
