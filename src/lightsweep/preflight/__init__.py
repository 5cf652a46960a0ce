"""Checks before the first trial, without writing anything."""
