"""A voice agent on a business's phone number. Start with ARCHITECTURE.md."""

__version__ = "0.1.0"
