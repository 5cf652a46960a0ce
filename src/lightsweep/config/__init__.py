"""Config handling: the command line, the values, the allowed targets, and the error messages."""
