"""Attacks on running programs, and what they cost: `python -m tests.attacks` prints a table."""
