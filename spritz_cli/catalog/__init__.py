"""templates.yaml, read and checked: what films there are to be."""
