"""A certificate as a page: one file, without a script, that asks no network for anything."""

from __future__ import annotations

from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem }
th, td { text-align: left; vertical-align: top; padding: .2rem 1rem .2rem 0 }
td { overflow-wrap: anywhere }
pre { overflow-x: auto; padding: .5rem; border: 1px solid #8888 }
"""


def shown(size: Any) -> str:
    """A size, or that of every layer."""
    return " and ".join(map(str, size)) if isinstance(size, list) else str(size)


def page(certificate: dict[str, Any], verify: str) -> str:
    """As HTML. verify: the command that checks it"""
    asked, found = certificate["asked"], certificate["found"]
    weights, outputs = found["weights"], found["outputs"]
    spec = found["spec"]
    same = "the same, bit for bit" if outputs["same"] else f"within {outputs['error']:.2g}"
    shape = " × ".join(map(str, outputs["shape"]))
    inputs = ", ".join(f"{name} = {value}" for name, value in asked["inputs"].items())
    rounded = sum(row["numbers"] for row in weights["rounded"])
    layers = f"{spec['L']} layer{'s' * (spec['L'] > 1)}"
    layers += " in both directions" * (spec.get("directions") == 2)
    sizes = ", ".join(f"{name} = {shown(spec[name])}" for name in "dhqp" if name in spec)
    rows = {
        "network": f"{spec['cell']} of {layers}, {sizes}",
        "numbers": f"{weights['numbers'] - rounded:,} of {weights['numbers']:,} in "
        f"{weights['tensors']} tensors are the same in both files, bit for bit"
        + f"; the others are rounded to {asked['dtype']}"
        * (rounded > 0),
        "outputs": f"{shape} of the equations, from both files: {same} "
        f"(the bound is {outputs['bound']:g})",
        "inputs": f"random: {inputs}",
    }
    for side in ("source", "target"):
        about = found[side]
        rows[side] = f"{asked[side]}, {about['says']}, {about['bytes']:,} bytes"
        rows[f"{side}, SHA-256"] = about["sha256"]
        rows[f"{side}, parameters"] = about["parameters"]
    if own := certificate.get("measured"):
        error, bound = f"{own['error']:.2g}", f"{own['bound']:g}"
        rows["the framework itself"] = f"{own['package']} {own['version']}: within {error} of the "
        rows["the framework itself"] += f"equations (the bound is {bound})"
    rows["seal"] = certificate["seal"]
    told = [*found["said"], *found["assumed"]]
    title = f"Certificate of {asked['target']}"
    code = "\n".join(found["code"]).replace("FILE", repr(asked["target"]))
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>",
            f"<h1>{escape(title)}</h1>",
            "<table>",
            *(f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in rows.items()),
            "</table>",
            *(f"<p>{escape(line)}</p>" for line in told),
            f"<h2>To load it</h2><pre>{escape(code)}</pre>",
            f"<h2>To check it</h2><pre>{escape(verify)}</pre>",
            "</main></body></html>\n",
        ]
    )
