"""Who is mirrored, and when it stops."""
