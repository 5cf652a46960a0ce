"""Lightning callbacks of the config group `callbacks`."""
