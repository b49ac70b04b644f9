"""Answers over HTTP: for browsers, for curl, and for whatever speaks OpenAI's protocol."""
