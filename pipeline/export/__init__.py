"""Exports of Telegram Desktop, any number of them, read into chats of messages."""
