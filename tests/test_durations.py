import pytest

from musterd.durations import parse_duration, parse_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("1.5", 1.5),
        ("250ms", 0.25),
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("1m1m", 120),
        ("2d", 172_800),
        ("1w", 604_800),
        ("100ms200ms", 0.3),
    ],
)
def test_duration_is_parsed_to_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "-1s", "1 m", "5M", "1y", "inf", "nan", "1e3", "٣s", "5m3"]
)
def test_invalid_duration_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration such as 90s"):
        parse_duration(text)


def test_fraction_of_a_second_is_rejected_where_seconds_must_be_whole() -> None:
    assert parse_seconds("1.5m") == 90
    with pytest.raises(ValueError, match="expected whole seconds"):
        parse_seconds("1500ms")
