"""A server that has the candidate imported and warm, and forks children from it in milliseconds."""
