"""Loggers of the config group `logger`, in addition to Lightning's own."""
