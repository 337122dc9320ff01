"""``python -m docs.pictures``: the picture that README.md opens with.

Writes docs/figures/parting.svg out of docs/results/the-same.json. A test fails if it is not what
the data say.
"""

from pathlib import Path
from typing import Any

import vl_convert

from common.storage.files import write_text
from docs._ext.charts import THEME
from docs._ext.stored import records

PICTURE = Path(__file__).parent / "figures" / "parting.svg"

NAMES = {"float32": "float32", "float64": "float64", "lattice": "on the lattice"}

# README.md is read on white and on black pages, and a picture there cannot ask which.
PAPER, INK = "#ffffff", "#24292f"


def coloured(value: Any) -> Any:
    """The site's theme with the ink that it takes from the page."""
    if isinstance(value, dict):
        return {key: coloured(part) for key, part in value.items()}
    return INK if value == "currentColor" else value


def drawing() -> str:
    """How far two equal networks' losses are apart, by step, in each arithmetic."""
    rows = [row | {"numerics": NAMES[row["numerics"]]} for row in records("the-same/parting")]
    apart = {"field": "apart", "type": "quantitative", "scale": {"type": "log"}}
    spec = {
        "data": {"values": rows},
        "width": 620,
        "height": 220,
        "mark": {"type": "line", "strokeWidth": 2},
        "encoding": {
            "x": {"field": "step", "type": "quantitative", "title": "step of training"},
            "y": apart | {"axis": {"format": "~e"}, "title": "difference of the losses"},
            "color": {"field": "numerics", "type": "nominal"},
            "strokeDash": {"field": "numerics", "type": "nominal"},
        },
    }
    theme = coloured(THEME) | {"background": PAPER, "padding": 12}
    return vl_convert.vegalite_to_svg(spec, config=theme) + "\n"


def main() -> None:
    write_text(PICTURE, drawing())


if __name__ == "__main__":
    main()
