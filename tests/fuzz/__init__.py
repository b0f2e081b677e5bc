"""What comes from outside never ends the process and never half-applies; see README.md."""
