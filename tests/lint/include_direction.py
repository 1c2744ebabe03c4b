#!/usr/bin/env python3
"""Checks that no layer of src/ includes one above it or beside it (docs/ARCHITECTURE.md, "Layers")."""
import re
import sys

import tree

# What each layer may include besides itself. Lowest first.
_GROUND = {"base"}
_CORE = _GROUND | {"config", "async", "memory"}
_ALLOWED = {
    "base": set(),
    "config": _GROUND,
    "async": _GROUND,
    "memory": _GROUND | {"config", "async"},
    "cpu": _CORE,
    "block": _CORE,
    "engine": _CORE | {"cpu"},
    "bus": _CORE | {"cpu", "block"},
    "chardev": _CORE,
    "net": _CORE,
    "display": _CORE,
    "audio": _CORE,
}
_ALLOWED["devices"] = _CORE | {"cpu", "block", "bus", "chardev", "net", "display", "audio"}
_ALLOWED["machine"] = _ALLOWED["devices"] | {"devices", "engine"}
_ALLOWED["monitor"] = _ALLOWED["machine"] | {"machine"}
_ALLOWED["migration"] = _ALLOWED["machine"] | {"machine"}
_ALLOWED["tools"] = _ALLOWED["monitor"] | {"monitor", "migration"}

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.MULTILINE)


def violations(name, text):
    """Lines that say what is wrong in the file `name` ("src/cpu/core.h")."""
    layer = name.split("/")[1]
    if layer not in _ALLOWED:
        return [f"{name}: '{layer}' is no layer that tests/lint/include_direction.py knows"]
    found = []
    for match in _INCLUDE.finditer(text):
        target = match.group(1)
        where = f"{name}:{tree.line_of(text, match.start())}"
        if "/" not in target or target.startswith("."):
            found.append(f'{where}: "{target}" is not a path from src/')
            continue
        other = target.split("/")[0]
        if other == layer:
            parts, wanted = name.split("/"), target.split("/")
            if layer == "engine" and len(parts) > 3 and len(wanted) > 2 and parts[2] != wanted[1]:
                found.append(f'{where}: engine {parts[2]} includes "{target}" of another engine')
        elif other not in _ALLOWED[layer]:
            found.append(f'{where}: layer {layer} may not include "{target}"')
    return found


def main():
    found = []
    for name in tree.files("src/*.h", "src/*.cc", "src/*.inc"):
        if name.count("/") >= 2:
            found += violations(name, tree.read(name))
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
