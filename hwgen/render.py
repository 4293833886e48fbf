"""Jinja rendering; the only importer of jinja2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hwgen import __version__
from hwgen.resources import data_folder

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@cache
def _environment() -> Environment:
    environment = Environment(  # not HTML: SystemVerilog, C++, Tcl; report escapes explicitly
        loader=FileSystemLoader(data_folder("templates")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["identifier"] = identifier
    return environment


def identifier(text: str) -> str:
    """Return ``text`` if it is a legal identifier in every language we generate."""
    if not _IDENTIFIER.fullmatch(text):
        raise AssertionError(f"{text!r} is not an identifier")
    return text


def render(template: str, context: Mapping[str, object]) -> bytes:
    """Render ``templates/<template>``; the context also gets ``hwgen_version``."""
    text = _environment().get_template(template).render(hwgen_version=__version__, **context)
    return text.encode()


def static(template: str) -> bytes:
    """The bytes of ``templates/<template>``, unrendered."""
    return (data_folder("templates") / template).read_bytes()
