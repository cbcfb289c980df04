"""A simulated Telegram: a Bot API server for tests and the demo, and a group in the browser."""
