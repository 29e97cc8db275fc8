"""Scores to promote, hold or rollback, with reasons."""
