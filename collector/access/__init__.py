"""Who may come in: API keys, and who can reach the server at all."""
