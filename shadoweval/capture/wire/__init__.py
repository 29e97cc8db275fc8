"""The one format in which a mirrored call leaves its process."""
