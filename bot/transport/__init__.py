"""Receive from Telegram and send to it."""
