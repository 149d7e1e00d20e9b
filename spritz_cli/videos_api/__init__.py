"""A careful client of servers that speak the shape of the OpenAI Videos API."""
