"""The command around `train.py`: aliases, signals, and errors as one message."""
