"""Everything that knows a foreign library: one folder to open at its release (see `README.md`)."""
