"""Settings for every test."""

from hypothesis import settings

# Times vary with the machine's load, and a session takes longer than hypothesis' default deadline.
settings.register_profile("snnquant", deadline=None)
settings.load_profile("snnquant")
