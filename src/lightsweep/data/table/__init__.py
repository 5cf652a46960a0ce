"""Tables: read, typed, split, made into tensors, and shared by every trial of a machine."""
