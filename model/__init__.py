"""Code that training and serving share: messages, prompts, model versions and generation."""
