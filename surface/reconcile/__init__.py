"""At start: drive the machines into the states that fit what is there."""
