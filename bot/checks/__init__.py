"""Checks of a bot's set-up: what is wrong, and how to fix it."""
