"""Messages, people, conversations and the prompt: the rules that training and serving share."""
