"""JSON while it streams: one scanner, and what is made of it."""
