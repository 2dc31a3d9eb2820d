"""What Extism takes for the same: one line `NAME MEDIAN_SECONDS` each. Started by `plugins.rs`, with the library of PyPI's extism-sys.

Its plugin is compiled once, as ours is; each call has a fresh instance and does nothing at all, where ours is configured and asks its
host ten times. Through the C functions, so that little of Python is in the figures.
"""

import base64
import json
import statistics
import sys
import time

from extism_sys import ffi, lib

CALLS = 2_000
KILLS = 20
KILL_AFTER_MS = 100


def leb(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def section(kind, content):
    return bytes([kind]) + leb(len(content)) + content


def module(code):
    """A module with one function `run`, from nothing to a number."""
    body = b"\0" + code + b"\x0b"
    sections = [(1, b"\x01\x60\x00\x01\x7f"), (3, b"\x01\0"), (7, b"\x01\x03run\0\0"), (10, b"\x01" + leb(len(body)) + body)]
    return b"\0asm\1\0\0\0" + b"".join(section(kind, content) for kind, content in sections)


def made(plugin, error):
    if plugin == ffi.NULL:
        sys.exit(ffi.string(error[0]).decode())
    return plugin


def compiled(code, **more):
    manifest = {"wasm": [{"data": base64.b64encode(module(code)).decode()}], **more}
    text, error = json.dumps(manifest).encode(), ffi.new("char**")
    return made(lib.extism_compiled_plugin_new(text, len(text), ffi.NULL, 0, False, error), error)


def call(plugin):
    """A fresh instance, one call, gone; 0: it went well."""
    error = ffi.new("char**")
    instance = made(lib.extism_plugin_new_from_compiled(plugin, error), error)
    ended = lib.extism_plugin_call(instance, b"run", b"", 0)
    lib.extism_plugin_free(instance)
    return ended


def median(times, plugin, goes_well):
    took = []
    for _ in range(times):
        started = time.perf_counter()
        ended = call(plugin)
        took.append(time.perf_counter() - started)
        if (ended == 0) != goes_well:
            sys.exit(f"a call ended with {ended}")
    return statistics.median(took)


print("fresh_call", median(CALLS, compiled(b"\x41\0"), True))
print("kill_latency", median(KILLS, compiled(b"\x03\x40\x0c\0\x0b\x00", timeout_ms=KILL_AFTER_MS), False))
