"""Arithmetic profiles, one TOML file per target."""
