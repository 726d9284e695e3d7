"""Who may do what: the form of API keys, their scopes, and who is calling."""
