"""A Bot API server of our own on loopback: the Telegram of the tests and of the demo."""
