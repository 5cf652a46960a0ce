"""A search that exists, opened to read: where it is, what it does now, what it found, and how it compares."""
