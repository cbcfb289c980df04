"""`understudy-bot check`: what is wrong with a bot's set-up, and how to mend it."""
