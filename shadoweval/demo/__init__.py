"""Two tiny pipelines that `shadoweval demo` copies into a folder and shadows there: a library and a shop.

They are files as a user would write them, importing public names only, and run from their copies.
"""
