"""Unix filters around one streaming core, for language models."""

__version__ = "0.1.0"
