#!/usr/bin/env python3
"""Pages that list options, from what the programs themselves print.

    scripts/make-docs.py [--check] PROGRAM...

Of rhea-system-x86_64 writes docs/options.md and docs/man/rhea-system-x86_64.1
(from its .in), of rhea-img docs/man/rhea-img.1, or with --check says whether
they are up to date (exit status 1 if not). The
programs' help comes from the tables that parse the options, so the pages
cannot differ from them.
"""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Options whose argument is a group of keys, and what asks for its help.
GROUPS = [("-machine", "pc,help"), ("-accel", "tcg,help"), ("-smp", "help"), ("-m", "help"), ("-rtc", "help"),
          ("-boot", "help"), *[("-chardev", f"{kind},help") for kind in ("socket", "udp", "file", "pipe", "ringbuf", "stdio", "vc")],
          ("-mon", "help"), ("-fw_cfg", "help"), ("-acpitable", "help"), ("-option-rom", "help")]


def printed(program, *arguments):
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=20)
    if done.returncode != 0:
        sys.exit(f"{program} {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def options_of(text):
    """(head, help) of the lines '-name ARGUMENT   help', the help perhaps on a line of its own."""
    out = []
    for line in text.splitlines():
        if line.startswith("-"):
            head, _, help_text = line.partition("  ")
            out.append([head.strip(), help_text.strip()])
        elif line.startswith(" ") and out:
            out[-1][1] = (out[-1][1] + " " + line.strip()).strip()
    return out


def keys_of(text):
    """(key, type, help) of the lines '  key=<type> - help'."""
    found = re.findall(r"^  ([\w-]+)=<([^>]*)>\s*- (.*)$", text, re.M)
    return [(key, kind, help_text.strip()) for key, kind, help_text in found]


def devices_of(program):
    out = []
    for name, about in re.findall(r'^name "([\w-]+)", (.*)$', printed(program, "-device", "help"), re.M):
        out.append((name, about, keys_of(printed(program, "-device", f"{name},help"))))
    return out


def cell(text):
    return text.replace("|", "\\|").replace("<", "&lt;")


def key_table(keys):
    lines = ["| key | value | |", "| --- | --- | --- |"]
    return lines + [f"| `{key}` | {cell(kind)} | {cell(text)} |" for key, kind, text in keys]


def markdown(options, groups, devices, items):
    out = ["# Options of rhea-system-x86_64", "",
           "Made from the program's own help by `scripts/make-docs.py`; do not edit. `-cpu help` lists the CPU models "
           "and features.", "", "| option | |", "| --- | --- |"]
    out += [f"| `{head.replace('|', chr(92) + '|')}` | {cell(text)} |" for head, text in options]
    out += ["", "Each argument is a list of `key=value` separated by commas (`,,` is a comma inside a value), or a JSON "
            "object."]
    for name, keys in groups:
        out += ["", f"## `{name}`", ""] + key_table(keys)
    out += ["", "## `-d`", "", "```", items.strip(), "```", "", "## Devices"]
    for name, about, keys in devices:
        out += ["", f"### `-device {name}`", "", about[0].upper() + about[1:] + "."]
        if keys:
            out += [""] + key_table(keys)
    return "\n".join(out) + "\n"


def roff(text):
    return text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...").replace("'", "\\(aq")


def entries(pairs):
    return "\n".join(f".TP\n.B {roff(head)}\n{roff(text)}" for head, text in pairs)


def filled(name, parts):
    with open(os.path.join(ROOT, f"docs/man/{name}.in")) as file:
        page = file.read()
    for part, text in parts.items():
        page = page.replace(f"@{part}@", text)
    return page


def man_page(version, options, groups, devices):
    def keys(rows):
        return entries((f"{key}=<{kind}>", text) for key, kind, text in rows)

    return filled("rhea-system-x86_64.1", {
        "VERSION": version,
        "OPTIONS": entries(options),
        "GROUPS": "\n".join(f".SS {roff(name)}\n{keys(rows)}" for name, rows in groups),
        "DEVICES": "\n".join(f".SS {roff(name)}\n{roff(about)}\n{keys(rows)}".rstrip() for name, about, rows in devices),
    })


def system_pages(program):
    options = options_of(printed(program, "-help"))
    groups = [(f"{name} {ask.split(',')[0]}" if name == "-chardev" else name, keys_of(printed(program, name, ask)))
              for name, ask in GROUPS]
    devices = devices_of(program)
    version = re.search(r"version ([\d.]+)", printed(program, "-version")).group(1)
    return {
        "docs/options.md": markdown(options, groups, devices, printed(program, "-d", "help")),
        "docs/man/rhea-system-x86_64.1": man_page(version, options, groups, devices),
    }


def img_command(program, name):
    """The section of one command, from its --help: usage, a sentence, a line an option."""
    lines = printed(program, name, "--help").splitlines()
    options = [re.split(r"  +", line.strip(), maxsplit=1) for line in lines[3:]]
    for option in options:
        if len(option) != 2:
            sys.exit(f"{program} {name} --help says nothing about {option[0]}")
    syntax = lines[0].removeprefix("usage: rhea-img ")
    return f".SS {name}\n.B {roff(syntax)}\n.PP\n{roff(lines[1])}\n{entries(options)}"


def img_format(program, name):
    """The options that -o takes; nothing for formats that can only be read."""
    done = subprocess.run([program, "create", "-f", name, "-o", "help"], capture_output=True, text=True, timeout=20)
    found = re.findall(r"^  ([\w.-]+)=<([^>]*)>\s*- (.*)$", done.stdout, re.M)
    if done.returncode != 0:
        return f".SS {name}\nread only"
    return f".SS {name}\n" + entries((f"{key}=<{kind}>", text) for key, kind, text in found)


def img_pages(program):
    text = printed(program, "--help")
    commands = re.findall(r"^  ([a-z]+) ", text.split("Command syntax:")[1].split("\n\n")[0], re.M)
    formats = re.search(r"^Supported formats: (.*)$", text, re.M).group(1).split()
    return {"docs/man/rhea-img.1": filled("rhea-img.1", {
        "VERSION": re.search(r"version ([\d.]+)", text).group(1),
        "COMMANDS": "\n".join(img_command(program, name) for name in commands),
        "FORMATS": "\n".join(img_format(program, name) for name in formats),
    })}


def main():
    check = "--check" in sys.argv
    pages = {}
    for program in [word for word in sys.argv[1:] if not word.startswith("--")]:
        pages |= img_pages(program) if os.path.basename(program) == "rhea-img" else system_pages(program)
    stale = 0
    for name, text in pages.items():
        path = os.path.join(ROOT, name)
        if not check:
            with open(path, "w") as file:
                file.write(text)
            continue
        with open(path) as file:
            if file.read() != text:
                print(f"{name} is not up to date: run scripts/make-docs.py with its program")
                stale = 1
    sys.exit(stale)


main()
