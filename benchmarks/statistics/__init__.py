"""Simulations behind the promises of `shadoweval.evidence`: false alarms, delays, coverage, cost."""
