"""Take secrets and personal data out of texts before their bytes leave the process."""
