"""Loggers: what the `logger` group of `conf/` names beside Lightning's own."""
