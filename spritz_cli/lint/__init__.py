"""Checks films like a careful editor: their words, and every drawn frame."""
