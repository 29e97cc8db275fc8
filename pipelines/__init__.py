"""Example production pipelines, incumbent and candidates side by side."""
