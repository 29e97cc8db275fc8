"""OpenAI clients: what they are asked and answer, and each call of theirs as a query."""
