"""Data modules: what the `data` group of `conf/` names."""
