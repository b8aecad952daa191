"""The client's TypedDicts have the members of the API's published schemas."""

from typing import Any

import pytest

from musterd.api.app import described
from musterd.client import values

SCHEMAS = {
    values.RecordInput: "RecordIn",
    values.RecordInfo: "Record",
    values.ChangeInfo: "HistoryEntry",
    values.LeaseInfo: "Lease",
    values.ZoneInfo: "Zone",
    values.ImportProblem: "Fault",
    values.ImportResult: "Imported",
    values.TokenInfo: "Token",
    values.NewTokenInfo: "NewToken",
    values.CandidateInfo: "Given",
    values.AnswerInfo: "Answer",
    values.LeftOutInfo: "LeftOut",
    values.ExplanationInfo: "Explanation",
    values.SourceInfo: "SourceState",
    values.StoreInfo: "StoreState",
    values.ServerInfo: "Server",
    values.StatusInfo: "Status",
}


@pytest.fixture(scope="module")
def components() -> dict[str, Any]:
    found: dict[str, Any] = described("1").openapi()["components"]["schemas"]
    return found


@pytest.mark.parametrize(("value", "schema"), SCHEMAS.items(), ids=SCHEMAS.values())
def test_client_value_has_the_members_of_the_schema(
    value: Any, schema: str, components: dict[str, Any]
) -> None:
    assert set(value.__annotations__) == set(components[schema]["properties"])


def test_every_client_value_is_compared() -> None:
    declared = {name for name, value in vars(values).items() if hasattr(value, "__total__")}
    assert declared == {value.__name__ for value in SCHEMAS}
