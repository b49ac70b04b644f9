r"""Hides secrets in bytes that arrive in chunks.

A secret is hidden in its other forms, too: in base64 at any of the three alignments, as within a Basic header or a
frame, and with characters that are escaped as in JSON (\\u0073) or as in URLs (%73).
"""

from __future__ import annotations

import re
from base64 import b64encode
from bisect import bisect_right

SHORTEST_FORM = 8  # bytes of base64: a shorter form may be part of any text by chance

_URLSAFE = bytes.maketrans(b"-_", b"+/")
_escape = re.compile(rb'\\{1,4}u([0-9a-fA-F]{4})|%(?:25)?([0-9a-fA-F]{2})|\\{1,4}(["/])')
_cut_escape = re.compile(rb"(?:\\{1,4}(?:u[0-9a-fA-F]{0,3})?|%(?:25?)?[0-9a-fA-F]?)\Z")


class SecretStream:
    """Hides secrets in bytes that arrive in chunks, though a secret be cut in two.

    Secrets are looked for in the bytes without their escapes, and in base64 with + and / for - and _.
    """

    def __init__(self, secrets: list[bytes], mark: bytes) -> None:
        self._mark = mark  # in place of a secret
        self._plain = list({*secrets, *(_without_escapes(secret)[0] for secret in secrets)})
        encoded = (_base64(secret, shift) for secret in secrets for shift in range(3))
        self._encoded = [form for form in encoded if len(form) >= SHORTEST_FORM]
        self._longest = max(map(len, (*self._plain, *self._encoded)), default=0)
        self._beginning = b""  # of a secret, perhaps: the end of what came
        self._raw = _RawStream(secrets if any(map(_cut_escape.search, secrets)) else [], mark)

    def feed(self, chunk: bytes) -> bytes:
        """Returns what is certain to be no part of a secret, and the mark for each secret."""
        return self._feed(self._raw.feed(chunk))

    def _feed(self, chunk: bytes) -> bytes:
        chunk, self._beginning = self._beginning + chunk, b""
        cut = _cut_escape.search(chunk[-12:]) if self._longest else None
        certain = len(chunk) - (len(cut[0]) if cut else 0)
        text, places = _without_escapes(chunk[:certain])
        spans = self._spans(text)
        begin = spans[-1][1] if spans else 0
        held = len(text) - self._size_of_beginning(text[max(begin, len(text) - self._longest) :])
        out, at = [], 0
        for start, stop in spans:
            out += [chunk[at : _place(places, start)], self._mark]
            at = _place(places, stop)
        end = _place(places, held)
        out.append(chunk[at:end])
        self._beginning = chunk[end:]
        return b"".join(out)

    def close(self) -> bytes:
        """Returns what `feed` has kept back."""
        out = self._feed(self._raw.close())
        rest, self._beginning = self._beginning, b""
        return out + rest

    def _spans(self, text: bytes) -> list[tuple[int, int]]:
        """Returns where secrets stand in bytes without escapes, in order, without overlaps; the longer counts."""
        matches: list[tuple[int, int]] = []
        for forms, data in (self._plain, text), (self._encoded, text.translate(_URLSAFE)):
            for form in forms:
                at = data.find(form)
                while at >= 0:
                    matches.append((at, at + len(form)))
                    at = data.find(form, at + len(form))
        spans: list[tuple[int, int]] = []
        for start, stop in sorted(matches):
            if spans and start < spans[-1][1]:
                spans[-1] = spans[-1][0], max(stop, spans[-1][1])
            else:
                spans.append((start, stop))
        return spans

    def _size_of_beginning(self, end: bytes) -> int:
        """Returns how many of the last bytes may be the beginning of a secret."""
        translated = end.translate(_URLSAFE)
        for size in range(min(self._longest - 1, len(end)), 0, -1):
            plain, encoded = end[-size:], translated[-size:]
            if any(form.startswith(plain) for form in self._plain) or any(
                form.startswith(encoded) for form in self._encoded
            ):
                return size
        return 0


class _RawStream:
    """Hides secrets as they stand: one that ends in half an escape would be lost in the escape that it begins."""

    def __init__(self, secrets: list[bytes], mark: bytes) -> None:
        self._mark = mark
        self._secrets = sorted(secrets, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, self._secrets)))
        self._beginning = b""  # of a secret, perhaps

    def feed(self, chunk: bytes) -> bytes:
        """Returns what is certain to be no part of a secret, and the mark for each secret."""
        if not self._secrets:
            return chunk
        data = self._beginning + chunk
        out, at = [], 0
        for match in self._pattern.finditer(data):
            out.append(data[at : match.start()])
            at = match.start()
            if self._begins_secret(data[at:]):  # a longer one
                break
            out.append(self._mark)
            at = match.end()
        held = max(at, len(data) - len(self._secrets[0]) + 1)
        held = next((i for i in range(held, len(data)) if self._begins_secret(data[i:])), len(data))
        out.append(data[at:held])
        self._beginning = data[held:]
        return b"".join(out)

    def close(self) -> bytes:
        """Returns what `feed` has kept back."""
        rest, self._beginning = self._beginning, b""
        return self._pattern.sub(self._mark, rest) if self._secrets else b""

    def _begins_secret(self, end: bytes) -> bool:
        return any(len(secret) > len(end) and secret.startswith(end) for secret in self._secrets)


def _base64(secret: bytes, shift: int) -> bytes:
    """Returns what base64 makes of a secret behind `shift` other bytes: the characters that hold nothing else."""
    first = -(-shift * 8 // 6)
    return b64encode(b"\0" * shift + secret)[first : (shift + len(secret)) * 8 // 6]


Places = list[tuple[int, int]]  # (index without escapes, index with them) behind each escape


def _without_escapes(chunk: bytes) -> tuple[bytes, Places]:
    """Returns bytes with their escapes resolved, and where the bytes stood."""
    if b"\\" not in chunk and b"%" not in chunk:
        return chunk, []
    parts: list[bytes] = []
    places: Places = []
    size = at = 0
    for match in _escape.finditer(chunk):
        code, byte, mark = match.groups()
        value = (
            chr(int(code, 16)).encode("utf-8", "surrogatepass") if code else bytes([int(byte, 16)]) if byte else mark
        )
        parts += [chunk[at : match.start()], value]
        size += match.start() - at
        places.append((size, match.start()))
        size += len(value)
        places.append((size, match.end()))
        at = match.end()
    return b"".join((*parts, chunk[at:])), places


def _place(places: Places, index: int) -> int:
    """Returns the index with escapes of an index without them."""
    number = bisect_right(places, (index, 1 << 62))
    if not number:
        return index
    without, place = places[number - 1]
    return place + index - without
