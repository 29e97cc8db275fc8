"""The command `shadoweval`."""
