"""The scorecard: how well a model speaks as its people do, and what it gives away."""
