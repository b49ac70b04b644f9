"""Draws Markdown for a terminal while it streams. What draws blocks needs the extra `pretty`; the rest does not."""
