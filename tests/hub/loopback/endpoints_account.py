"""Endpoints that belong to no repository: who am I, and is this card valid."""

from tests.hub.loopback.access import signed_in
from tests.hub.loopback.answers import Answer, as_json
from tests.hub.loopback.card_checks import check_card
from tests.hub.loopback.state import Call, HubState


def whoami(state: HubState, call: Call) -> Answer:
    """The user of the token, and what the token may do."""
    account = signed_in(call.account)
    token = {"displayName": "loopback", "role": account.role}
    return as_json(
        {
            "type": "user",
            "id": account.user,
            "name": account.user,
            "fullname": account.user,
            "isPro": False,
            "orgs": [],
            "auth": {"type": "access_token", "accessToken": token},
        }
    )


def validate_yaml(state: HubState, call: Call) -> Answer:
    """What is wrong with the metadata of a README."""
    errors, warnings = check_card(call.json["content"], call.json.get("repoType", "model"))
    found = {
        name: [{"message": text} for text in texts] for name, texts in (("errors", errors), ("warnings", warnings))
    }
    return as_json(found, status=400 if errors else 200)
