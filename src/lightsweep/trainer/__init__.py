"""What the `trainer` group of `conf/` names beside Lightning's own."""
