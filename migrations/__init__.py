"""The schema of the bot's database, one revision a file."""
