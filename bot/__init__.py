"""The live bot: it keeps the group's messages and answers in the voice of a friend."""
