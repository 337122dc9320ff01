"""Text out of files stays text, wherever it is written."""

import pytest

from conformance.verdict.escape import NOTHING, markdown

HOSTILE = {
    "<script>alert(1)</script>": "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<!-- /results -->": "&lt;!-- /results --&gt;",
    "a | b": "a \\| b",
    "![x](y)": "!\\[x\\](y)",
    "`code` *bold* _it_ ~~no~~ $x$": "\\`code\\` \\*bold\\* \\_it\\_ \\~\\~no\\~\\~ \\$x\\$",
    "\\": "\\\\",
    "@somebody #12": f"@{NOTHING}somebody #{NOTHING}12",
    "https://a.b www.a.b": f"https:{NOTHING}//a.b w{NOTHING}ww.a.b",
    "&lt;": "&amp;lt;",
    "two\nlines\x1b[2J": "two\\\\nlines\\\\x1b\\[2J",
}


@pytest.mark.parametrize(("text", "wanted"), HOSTILE.items())
def test_no_mark_of_markdown_or_html_survives(text, wanted):
    assert markdown(text) == wanted


def test_what_the_suite_says_of_itself_is_as_it_was():
    for text in ("✓ 77/77 1.6×", "– unsupported", "jax:equations", "PASS: 2 agree (text: sample)."):
        assert markdown(text) == text
