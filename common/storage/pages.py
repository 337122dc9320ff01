"""Pages in which a part is made from data: a table between two markers."""

from pathlib import Path

from common.errors import BadInput
from common.storage.files import write_text
from common.storage.reading import LARGEST_JSON, read_text


def replace_part(path: Path, name: str, part: str) -> None:
    """Replace what stands between the markers ``<!-- name -->`` and ``<!-- /name -->``.

    part: whole lines. BadInput if the page has not both markers, in this order
    """
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    text = read_text(path, "a Markdown file", LARGEST_JSON)
    before, found, rest = text.partition(start)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise BadInput(path, "", f"the markers {start.strip()} and {end}", "none")
    write_text(path, f"{before}{start}{part}{end}{after}")
