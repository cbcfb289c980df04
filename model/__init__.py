"""The voice: what training and serving share."""
