"""One training, from a composed config to its outcome."""
