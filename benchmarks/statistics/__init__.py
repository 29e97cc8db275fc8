"""Simulations behind the promises of `shadoweval.stats`: false alarms, delays, coverage, cost."""
