"""Fenced code blocks, by CommonMark."""
