"""What is measured, with public tools, against public peers. Ratios within one interleaved run, never absolute times."""
