"""Write loops over time out as plain nodes."""
