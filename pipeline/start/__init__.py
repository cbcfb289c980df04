"""The steps of `understudy start`: from an export to a running bot, one question at a time."""
