"""What is measured, with public tools, against public peers: ratios within one interleaved run."""
