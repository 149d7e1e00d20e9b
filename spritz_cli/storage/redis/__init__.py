"""The Redis connection, and the embedded server."""
