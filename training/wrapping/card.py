"""The model card of a wrapped model: where it comes from, what was said of it, and that nobody measured it here."""

from __future__ import annotations

from core.modelspec import ModelSpec
from core.wraprequest import Output
from training.wrapping.foreign import Foreign
from training.wrapping.planning import Feeding

_INTENDED_USE = """\
Research use only, not a diagnosis. The output is a list of probabilities over the classes named below. Classes that are not in
the list do not exist for this model: anything else is still spread over them."""

_FIGURES = """\
None. DermQ has not measured this model, and whoever wrapped it stated no figures. Before its results are used, measure it on
images of your own whose diagnosis is known."""


def render_card(foreign: Foreign, feeding: Feeding, output: Output, spec: ModelSpec, sha256: str) -> str:
    """The card as Markdown. No dates and no paths: the same model and options give the same card."""
    sections = {
        f"# Model card: {spec.name}": "",
        "## Intended use": _INTENDED_USE,
        "## Made from": _origin(foreign, feeding, output, spec, sha256),
        "## Figures": _FIGURES,
        "## Classes": _classes(spec),
        "## Limits": "- Calibration is the foreign model's own; no temperature was fitted.\n"
        "- Images are decoded by DermQ. The model's training may have decoded and resized them otherwise.",
        "## Licence": spec.licence or "Not stated. Ask whoever made the model.",
    }
    return "\n\n".join(part for heading, text in sections.items() for part in (heading, text) if part) + "\n"


def _origin(foreign: Foreign, feeding: Feeding, output: Output, spec: ModelSpec, sha256: str) -> str:
    several = "; several classes may be true at once" if spec.multi_label else ""
    return f"""\
- A {foreign.kind} of another team, wrapped by `dermq models wrap`; SHA-256 `{sha256}`.
- Its input {foreign.input_in_words}; fed with {feeding.height}x{feeding.width} pixels ({spec.resize}), scale {feeding.scale},
  layout {feeding.layout}{", one image at a time" if feeding.one_by_one else ""}.
- Its output {foreign.output_name!r}: {output}{several}."""


def _classes(spec: ModelSpec) -> str:
    names = f"{len(spec.classes)}: {', '.join(spec.classes)}."
    if not spec.has_risk:
        return f"{names}\n\nNone of them is malignant: there is no risk. Images are sorted by how unsure the model is."
    limits = ", ".join(f"{name} {value:g}" for name, value in spec.thresholds.items())
    return (
        f"{names}\n\nMalignant: {', '.join(spec.malignant)}. Thresholds of the risk, as stated by whoever wrapped it: "
        f"{limits}; "
        f"`{spec.operating_point}` sets the flag."
    )
