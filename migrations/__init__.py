"""The history of the bot's database, for Alembic; `understudy-bot db upgrade` runs it."""
