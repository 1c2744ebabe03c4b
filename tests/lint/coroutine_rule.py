#!/usr/bin/env python3
"""g++ 12 destroys some temporaries of a co_await expression twice: lambdas with captures, aggregates, brace lists.
So no brace may stand inside a co_await expression; name the object first, then co_await f(std::move(name))."""
import re
import sys

import tree

_CLOSE = {")": "(", "]": "["}


def violations(name, text):
    code = tree.code_only(text)
    found = []
    for match in re.finditer(r"(?<!operator )\bco_await\b", code):
        depth = 0
        for char in code[match.end():]:
            if char in "([":
                depth += 1
            elif char in _CLOSE:
                depth -= 1
            if depth < 0 or char == ";":
                break
            if char == "{":
                found.append(f"{name}:{tree.line_of(code, match.start())}: brace inside a co_await expression")
                break
    return found


def main():
    found = []
    for name in tree.files("*.h", "*.cc"):
        found += violations(name, tree.read(name))
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
