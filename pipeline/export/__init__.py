"""Read one or more exports of Telegram Desktop into chats of messages."""
