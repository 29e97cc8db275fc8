"""Metrics of ragas as scorers."""
