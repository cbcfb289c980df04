"""The bot's memory: every message and edit it saw, in SQLite."""
