"""Checks of what is depended on, of the code and of what is tracked; SECURITY.md says how to run them."""
