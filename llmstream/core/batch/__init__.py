"""Many prompts and their answers: records in, places filled, lines out in order."""
