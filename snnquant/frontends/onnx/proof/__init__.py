"""Prove what was read: run it beside the source."""
