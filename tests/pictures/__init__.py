"""Pictures for people: what the README shows, made from real runs."""
