"""One training, from its composed config to its outcome."""
