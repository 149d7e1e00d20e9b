"""Fault injection with real servers, workers, runs and films; see README.md here."""
