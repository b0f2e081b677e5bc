"""What the bot keeps of itself in its account data, so that a lost disk loses nothing."""
