"""Scores observations: one file for each question that is asked of a pair."""
