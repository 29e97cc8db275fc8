"""A candidate whose import acts."""

import pathlib

MARK = pathlib.Path("/var/tmp/shadoweval-hostile-import")
MARK.write_text("it was here")


def candidate(q):
    return f"done {q}"
