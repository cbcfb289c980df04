"""Services that handlers share: access, delivery, replies, the model, erasure and dumps."""
