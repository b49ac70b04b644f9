"""A server's certificate, by an authority of its own."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme


def certificate(folder: Path) -> tuple[ssl.SSLContext, str]:
    """Returns the context of a server at 127.0.0.1, and the path of the authority's certificate: ca.pem in `folder`."""
    authority, path = trustme.CA(), str(folder / "ca.pem")
    authority.cert_pem.write_to_path(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context, path
