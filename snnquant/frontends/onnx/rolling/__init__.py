"""Write what was recognised as one graph over time, or as a single step."""
