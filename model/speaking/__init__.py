"""Generate replies with a trained model."""
