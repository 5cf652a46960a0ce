"""Models of the config group `model`."""
