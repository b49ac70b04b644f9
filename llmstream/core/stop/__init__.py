"""Stop conditions: what ends a stream early."""
