"""Data modules, the targets of the `data` group of `conf/`."""
