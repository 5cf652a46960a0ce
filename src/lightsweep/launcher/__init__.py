"""The Hydra launcher that runs jobs in warm processes, each of which can fail alone."""
