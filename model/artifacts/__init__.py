"""Trained models on disk: files, versions, archives, tokenizer."""
