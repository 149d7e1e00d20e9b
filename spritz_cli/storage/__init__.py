"""Storage: films and footage in files, everything that processes share in Redis."""
