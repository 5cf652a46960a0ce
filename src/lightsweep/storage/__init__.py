"""The storage of a study."""
