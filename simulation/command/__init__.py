"""What a run is asked for, and what a person sees of it."""
