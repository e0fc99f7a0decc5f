"""The colours of charts, on light and on dark pages. This module does not know charts or pages."""

from collections.abc import Mapping

from nbest.specs import Role

INK, MUTED, RULE = "#1f2937", "#6b7280", "#e8eaee"
COLOURS = ("#d9480f", "#0f8a5f", "#9333ea", "#b8860b", "#db2777", "#0e7490", "#65740b", "#7c3f1d", "#475fb3", "#c2255c")
"""The colours of competitors."""
ROLE_COLOURS: Mapping[Role, tuple[str, ...]] = {
    "bound": ("#4b5563",),
    "chance": ("#9aa1ab", "#c3c8cf"),
    "baseline": ("#2563eb",),
}
DARK_COLOURS: Mapping[str, str] = {
    "#d9480f": "#ff8a4c",
    "#0f8a5f": "#34d399",
    "#9333ea": "#c084fc",
    "#b8860b": "#e3b341",
    "#db2777": "#f472b6",
    "#0e7490": "#22d3ee",
    "#65740b": "#b5c83a",
    "#7c3f1d": "#d19a7a",
    "#475fb3": "#93a5f5",
    "#c2255c": "#ff7a9c",
    "#2563eb": "#6ea0ff",
    "#4b5563": "#b4bbc6",
    "#9aa1ab": "#8b93a0",
    "#c3c8cf": "#6a717c",
    "#374151": "#cbd2dc",
    INK: "#e6e9ee",
    MUTED: "#9aa3af",
    RULE: "#2c313a",
}
"""The colours of charts on a dark page, by those on a light one."""
