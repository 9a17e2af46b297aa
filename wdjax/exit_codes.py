"""How the command lines end, in numbers."""

DONE, SAID_NO, BAD_INPUT, INTERRUPTED, READER_GONE = 0, 1, 2, 130, 141

MEANINGS = {
    DONE: "done",
    SAID_NO: "a check says no; or memory or disk ran out; or, with a traceback, a bug",
    BAD_INPUT: "input that makes no sense, or a package that is missing: stderr says",
    INTERRUPTED: "interrupted, by Ctrl-C",
    READER_GONE: "whoever read the output has gone, as in `wdjax … | head`",
}
"""Meaning of each exit code, of `wdjax` and of `python -m experiments`."""


def as_text() -> str:
    """The table, for a help."""
    lines = (f"{code:5}  {meaning}" for code, meaning in MEANINGS.items())
    return "\n".join(["exit codes:", *lines])
