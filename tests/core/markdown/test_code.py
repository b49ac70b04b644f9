"""Which blocks are printed, and what they come to."""

from __future__ import annotations

import pytest

from llmstream.core.markdown.code import Code
from llmstream.errors import Incomplete, NotFound

from ...support.chunks import chunkings

TEXT = """Two ways, é \udcff:

```python
print("é")
```

and

~~~ Bash -x
ls \udcff
~~~

```
plain
```
""".encode("utf-8", "surrogateescape")


def printed(pieces, *args):
    code = Code(*args)
    out = b"".join([code.feed(piece) for piece in pieces]) + (b"" if code.done else code.close())
    code.judge()
    return out


@pytest.mark.parametrize(
    ("args", "want"),
    [
        ((), 'print("é")\n'),
        ((None, 2), "ls \udcff\n"),
        ((None, 1, True), 'print("é")\nls \udcff\nplain\n'),
        (("py",), 'print("é")\n'),
        (("Python",), 'print("é")\n'),
        (("sh",), "ls \udcff\n"),
        (("shell",), "ls \udcff\n"),
        (("",), "plain\n"),
    ],
)
def test_choice_at_every_cut(args, want):
    for pieces in chunkings(TEXT):
        assert printed(pieces, *args) == want.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize("args", [("ruby",), (None, 4), ("py", 2)])
def test_no_such_block(args):
    with pytest.raises(NotFound):
        printed([TEXT], *args)


def test_a_block_that_never_closes_is_printed_as_far_as_it_came():
    for pieces in chunkings(b"```py\nx = 1\n``"):
        code = Code()
        out = b"".join(code.feed(piece) for piece in pieces) + code.close()
        assert out == b"x = 1\n``"
        with pytest.raises(Incomplete):
            code.judge()
