"""What `map` makes of its input."""
