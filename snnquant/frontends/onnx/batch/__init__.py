"""Free a graph from the batch size that its export fixed."""
