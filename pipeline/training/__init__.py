"""Fine-tune a base model on a training set."""
