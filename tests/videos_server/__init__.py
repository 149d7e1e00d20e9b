"""A video server for tests. It speaks the OpenAI Videos API and misbehaves on demand."""
