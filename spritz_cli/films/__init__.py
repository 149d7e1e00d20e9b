"""One film after another: what is due, how it is made, what may go."""
