"""What the `optimizer` group of `conf/` names beside what torch has."""
