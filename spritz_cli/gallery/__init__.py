"""One HTML page that holds every film, and shows what changed since an earlier such page."""
