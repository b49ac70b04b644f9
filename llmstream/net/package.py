"""Downloads an archive of a package from a package index, and runs nothing of it.

Indexes have a page for each package: HTML (PEP 503) or JSON (PEP 691), over HTTP or in a directory.
"""

from __future__ import annotations

import hashlib
import json
import os
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from html.parser import HTMLParser
from typing import IO, NamedTuple
from urllib.parse import quote, unquote, urljoin, urlsplit

from ..core.secrets import show_url
from ..errors import Error, Unavailable, UsageError
from .fetch import Fetcher
from .indexes import Source, sources

MAX_PAGE_BYTES = 4 << 20
BLOCK_BYTES = 1 << 20
PAGE = "Accept: application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"


class Archive(NamedTuple):
    """An archive of a package: the name, size and hash of the one file that is right."""

    name: str
    size_bytes: int
    sha256: str


class Link(NamedTuple):
    """Where a source has a file, and the file's hash as the source says it, "" where it does not."""

    url: str
    sha256: str


class NotUsed(Unavailable):
    """The file that a source has is not the right one."""


def download(package: str, archives: Sequence[Archive], target: IO[bytes], show: Callable[[int], object]) -> Archive:
    """Writes one of the archives to `target`, and returns which; its SHA-256 is right.

    Tries each source that pip and uv are configured with, and in it the archives in their order. `package` is in the
    normal form of PEP 503. Calls `show` with the number of bytes that have arrived. Raises Unavailable, UsageError for
    a wrong configuration, and the OSError of `target`.
    """
    errors: list[Error] = []
    places = sources()
    fetcher = Fetcher()
    try:
        for source in places:
            try:
                links = _links(fetcher, source, package)
            except Error as error:
                errors.append(error)
                continue
            for archive in archives:
                if archive.name in links:
                    try:
                        _save(fetcher, source, links[archive.name], archive, target, show)
                        return archive
                    except Error as error:
                        errors.append(error)
    finally:
        fetcher.close()
    if not places:
        raise Unavailable("pip and uv are configured with no package index: set PIP_INDEX_URL or UV_DEFAULT_INDEX")
    if not errors:
        found = ", ".join(show_url(source.url) for source in places)
        raise Unavailable(f"{archives[0].name} is not in {found}")
    kind = Unavailable if any(isinstance(error, Unavailable) for error in errors) else UsageError
    raise kind("; ".join(dict.fromkeys(error.message for error in errors)))


def _save(
    fetcher: Fetcher, source: Source, link: Link, archive: Archive, target: IO[bytes], show: Callable[[int], object]
) -> None:
    """Writes an archive to `target`. Raises NotUsed where it is not the right one, and Unavailable."""
    name = show_url(link.url)
    if link.sha256 and link.sha256 != archive.sha256:
        raise NotUsed(f"{name} is not used: its sha256 is {link.sha256}, not {archive.sha256}")
    target.seek(0)
    target.truncate()
    digest, size = hashlib.sha256(), 0

    def write(data: bytes) -> None:
        nonlocal size
        size += len(data)
        if size > archive.size_bytes:
            raise NotUsed(f"{name} is not used: it is larger than {archive.size_bytes} bytes")
        digest.update(data)
        target.write(data)
        show(size)

    if urlsplit(link.url).scheme == "file":
        for block in _blocks(_path(link.url)):
            write(block)
    else:
        _get(fetcher, source, link.url, "Accept: */*", archive.size_bytes, write)
    if digest.hexdigest() != archive.sha256:
        raise NotUsed(f"{name} is not used: its sha256 is {digest.hexdigest()}, not {archive.sha256}")


def _blocks(path: str) -> Iterator[bytes]:
    """Yields the contents of a local file. Raises Unavailable."""
    if not os.path.isfile(path):  # a FIFO would wait, a device never end
        raise Unavailable(f"cannot read {path}: it is not a file")
    try:
        with open(path, "rb") as file:
            while block := file.read(BLOCK_BYTES):
                yield block
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}") from None


def _links(fetcher: Fetcher, source: Source, package: str) -> dict[str, Link]:
    """Returns the links to a source's files, by the file's name. Raises Unavailable and UsageError."""
    url = f"{source.url.rstrip('/')}/{package}/" if source.is_index else source.url
    if source.is_local:
        return _local_links(_path(url), source.is_index)
    name = _name(url)
    if not source.is_index and name.endswith((".whl", ".tar.gz")):
        return {name: Link(url, "")}
    base, kind, data = _get(fetcher, source, url, PAGE, MAX_PAGE_BYTES)
    links = _json_links(base, data) if "json" in kind else _html_links(base, data)
    return {name: link for name, link in links.items() if urlsplit(link.url).scheme in ("http", "https")}


def _local_links(path: str, is_index: bool) -> dict[str, Link]:
    """Returns the links in a directory of files, or in a local page. Raises Unavailable."""
    page = os.path.join(path, "index.html") if is_index else path
    if os.path.isfile(page):
        if page.endswith((".html", ".htm")):
            return _html_links("file://" + quote(page), b"".join(_blocks(page)))
        return {os.path.basename(page): Link("file://" + quote(page), "")}
    try:
        names = os.listdir(path)
    except OSError:  # it lacks the package, or is not there at all
        return {}
    return {name: Link("file://" + quote(os.path.join(path, name)), "") for name in names}


def _path(url: str) -> str:
    return unquote(urlsplit(url).path)


def _name(url: str) -> str:
    return _path(url).rpartition("/")[2]


def _json_links(base: str, data: bytes) -> dict[str, Link]:
    """Reads a page of PEP 691. Raises Unavailable."""
    try:
        files = json.loads(data)["files"]
        return {
            file["filename"]: Link(urljoin(base, file["url"]), file.get("hashes", {}).get("sha256", "").lower())
            for file in files
        }
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise Unavailable(f"{show_url(base)} is not a page of a package index") from None


class _Page(HTMLParser):
    """A page of PEP 503, or any page of links."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self._base = base
        self.links: dict[str, Link] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        target = next((value for name, value in attrs if name == "href" and value), None)
        if target is None or tag not in ("a", "base"):
            return
        try:
            url = urljoin(self._base, target.strip())
            fragment, name = urlsplit(url).fragment, _name(url)
        except ValueError:  # half an IPv6 address
            return
        if tag == "base":
            self._base = url
        else:
            kind, _, digest = fragment.partition("=")
            self.links[name] = Link(url.partition("#")[0], digest.lower() if kind == "sha256" else "")


def _html_links(base: str, data: bytes) -> dict[str, Link]:
    page = _Page(base)
    page.feed(data.decode("utf-8", "replace"))
    page.close()
    return page.links


def _get(
    fetcher: Fetcher,
    source: Source,
    url: str,
    accept: str,
    limit: int,
    write: Callable[[bytes], object] | None = None,
) -> tuple[str, str, bytes]:
    """Returns URL after redirects, content type and body of a document. Raises Unavailable and UsageError."""
    try:
        document = fetcher.get(url, limit, lambda url: [accept, *_authorization(source, url)], write)
    except NotUsed:
        raise
    except Error as error:
        raise type(error)(f"{show_url(url)}: {error.message}") from None
    if document.data is None:
        raise NotUsed(f"{show_url(url)} is not used: it is larger than {limit} bytes")
    if document.status != 200:
        raise Unavailable(f"{show_url(url)}: HTTP {document.status}")
    return document.url, document.headers.get("content-type", ""), document.data


def _authorization(source: Source, url: str) -> list[str]:
    """Returns the header with the credentials for a URL: the source's at its own origin, else those in .netrc."""
    parts, own = urlsplit(url), urlsplit(source.url)
    user, password = parts.username, parts.password
    if user is not None or password is not None:  # libcurl sends these
        return []
    if (source.user or source.password) and (parts.scheme, parts.netloc) == (own.scheme, own.netloc):
        user, password = source.user, source.password
    else:
        user, password = _netrc(parts.hostname or "")
    if not user and not password:
        return []
    return [f"Authorization: Basic {b64encode(f'{user}:{password}'.encode()).decode()}"]


def _netrc(host: str) -> tuple[str, str]:
    """Returns the user and password for a host, as pip and uv find them; "" where there are none."""
    import netrc

    try:
        entry = netrc.netrc(os.environ.get("NETRC") or os.path.expanduser("~/.netrc")).authenticators(host)
    except (OSError, ValueError, netrc.NetrcParseError):
        return "", ""
    return (entry[0] or "", entry[2] or "") if entry else ("", "")
