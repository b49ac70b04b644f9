"""Many prompts at once: what `map` is made of."""
