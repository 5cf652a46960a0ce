"""Models: what the `model` group of `conf/` names."""
