"""Error messages in plain words for invalid parts of a request."""

from collections.abc import Mapping
from typing import Any, Final

from musterd.api.schemas import EXPECTED
from musterd.display import excerpt

MAX_FAULTS: Final = 20
"""Maximum faults reported for a request."""
_WORDS: Final = {
    "missing": "is missing",
    "extra_forbidden": "is unknown",
    "greater_than_equal": "expected {ge} or more",
    "less_than_equal": "expected {le} or less",
    "string_too_short": "expected at least {min_length} characters",
    "string_too_long": "expected at most {max_length} characters",
    "too_short": "expected at least {min_length}, not {actual_length}",
    "too_long": "expected at most {max_length}, not {actual_length}",
    "json_invalid": "is not valid JSON: {error}",
    "model_attributes_type": "expected a JSON object, and Content-Type: application/json",
    "model_type": "expected a JSON object",
    "dict_type": "expected an object",
    "list_type": "expected a list",
    "string_type": "expected a string",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "bool_parsing": "expected true or false",
}
"""Messages for error types of pydantic; its own message is used for others."""


def fault(found: Mapping[str, Any]) -> dict[str, str]:
    """Return the place and the message of an error of pydantic."""
    part, *where = map(str, found["loc"])
    context = found.get("ctx", {})
    if found["type"] == "string_pattern_mismatch":
        problem = f"expected {EXPECTED.get(context['pattern'], context['pattern'])}"
    elif found["type"] in _WORDS:
        problem = _WORDS[found["type"]].format_map(context)
    else:
        problem = found["msg"]
    given = found["input"]
    if problem.startswith("expected ") and isinstance(given, str | int | float) and where:
        problem = f'got "{excerpt(str(given))}", {problem}'
    if where[-1:] == ["[key]"]:
        where.pop()
    # The message for invalid JSON contains the position.
    return {"where": part if found["type"] == "json_invalid" else ".".join(where) or part,
            "problem": problem}  # fmt: skip
