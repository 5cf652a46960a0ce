"""Trainer plugins of the config group `trainer`."""
