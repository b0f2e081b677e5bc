"""Commands: what a message is, which commands there are, and what each does."""
