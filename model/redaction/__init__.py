"""Find private data in text and replace it with placeholders."""
