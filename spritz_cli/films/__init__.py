"""Films: what is due, how one is made and published, what may be deleted."""
