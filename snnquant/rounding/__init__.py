"""From real weights to integers: the grids that they are rounded onto."""
