"""Files between people and agents: how they are called, where they lie, what may be read."""
