"""Judges films as a careful editor would: their words, and every frame that is drawn."""
