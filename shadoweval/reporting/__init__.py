"""Shows numbers, makes none: an Evaluation as HTML and Markdown."""
