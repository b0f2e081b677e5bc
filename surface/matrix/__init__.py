"""All that knows nio and the client-server API."""
