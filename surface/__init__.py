"""What the world sees: Matrix, the platform, the command line."""
