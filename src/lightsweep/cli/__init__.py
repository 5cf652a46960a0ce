"""What surrounds `train.py`: aliases on the command line, signals, and errors as one message."""
