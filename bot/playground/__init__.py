"""A Bot API server on this machine, for tests and the demo."""
