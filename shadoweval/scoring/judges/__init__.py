"""Model-made scores: the judge that is asked, what it is asked, and the scorers that ask."""
