"""The description of the API at /openapi.json."""

from musterd.api.app import described

OPERATIONS = {
    "add_record",
    "create_lease",
    "create_token",
    "delete_record",
    "delete_rrset",
    "explain",
    "export_zone",
    "get_lease",
    "get_record",
    "get_rrset",
    "get_status",
    "get_zone",
    "import_zone",
    "keep_lease_alive",
    "list_history",
    "list_owner_records",
    "list_records",
    "list_tokens",
    "list_zone_records",
    "list_zones",
    "put_record",
    "put_rrset",
    "revoke_lease",
    "revoke_token",
    "watch",
}
"""Generated clients name their methods by these, so a change breaks their users."""


def test_operations_have_stable_ids() -> None:
    paths = described("1").openapi()["paths"]
    operations = [operation for path in paths.values() for operation in path.values()]
    ids = [operation["operationId"] for operation in operations]
    assert sorted(ids) == sorted(OPERATIONS)


def test_every_operation_and_response_is_described() -> None:
    for path in described("1").openapi()["paths"].values():
        for operation in path.values():
            assert operation["summary"]
            assert operation["description"]
            assert all(response["description"] for response in operation["responses"].values())
