#!/usr/bin/env python3
"""Checks that hold for any text file: no path of the machine it was written on, no reminder left behind, no file that
has grown past 1000 lines, no trailing blanks, a final newline."""
import re
import sys

import tree

_MAX_LINES = 1000
_LOCAL_PATH = re.compile(r"(?<![\w.}])/(?:" + "work" + r"/(?:wt|main|shared|\.\w+)|home/\w+|Users/\w+)\b")
_REMINDER = re.compile(r"\b(?:" + "TO" + "DO|FIX" + "ME|X" + r"XX)\b")
_LONG_ALLOWED = re.compile(r"^LICENSE$|^docs/man/.*\.1$|^docs/options\.md$|\.inc$|^docs/cpu-conformance\.md$|_table\.cc$")
_SOURCE = re.compile(r"\.(cc|h|py|sh|S|inc|txt|cmake)$|^\.ci/")


def violations(name, text):
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if _LOCAL_PATH.search(line):
            found.append(f"{name}:{number}: names a path of the author's machine")
        if _SOURCE.search(name):
            if _REMINDER.search(line):
                found.append(f"{name}:{number}: a reminder instead of the work")
            if line != line.rstrip():
                found.append(f"{name}:{number}: blanks at the end of the line")
    lines = text.count("\n")
    if lines > _MAX_LINES and not _LONG_ALLOWED.search(name):
        found.append(f"{name}: {lines} lines, more than {_MAX_LINES}")
    if text and not text.endswith("\n"):
        found.append(f"{name}: no newline at the end")
    return found


def main():
    found = []
    for name in tree.files():
        raw = (tree.ROOT / name).read_bytes()
        if b"\0" not in raw:
            found += violations(name, raw.decode("utf-8", errors="replace"))
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
