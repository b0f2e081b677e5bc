"""How the surface reaches its agents: one contract, one adapter per way of reaching them."""
