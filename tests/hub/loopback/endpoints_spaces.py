"""Endpoints of a Space: hardware, sleep, secrets and variables. Nothing is run."""

from tests.hub.loopback.answers import Answer, Refusal, as_json
from tests.hub.loopback.catalogue import Space
from tests.hub.loopback.endpoints_repositories import runtime
from tests.hub.loopback.state import Call, HubState


def _space(state: HubState, call: Call) -> Space:
    return state.writable(call).space


def get_runtime(state: HubState, call: Call) -> Answer:
    """Return the runtime state."""
    return as_json(runtime(state.visible(call).space))


def set_hardware(state: HubState, call: Call) -> Answer:
    """Request hardware."""
    space = _space(state, call)
    space.hardware = call.json["flavor"]
    space.sleep_seconds = call.json.get("sleepTimeSeconds", space.sleep_seconds)
    return as_json(runtime(space))


def set_sleep_time(state: HubState, call: Call) -> Answer:
    """Set the seconds without visitors after which the Space sleeps."""
    space = _space(state, call)
    space.sleep_seconds = call.json["seconds"]
    return as_json(runtime(space))


def pause(state: HubState, call: Call) -> Answer:
    """Pause the Space."""
    space = _space(state, call)
    space.stage = "PAUSED"
    return as_json(runtime(space))


def restart(state: HubState, call: Call) -> Answer:
    """Restart the Space."""
    space = _space(state, call)
    space.stage = "BUILDING"
    return as_json(runtime(space))


def get_secrets(state: HubState, call: Call) -> Answer:
    """Return the names of the secrets; their values are not stored."""
    return as_json(_space(state, call).secrets)


def set_secret(state: HubState, call: Call) -> Answer:
    """Store the name of a secret."""
    described = {"description": call.json["description"]} if "description" in call.json else {}
    _space(state, call).secrets[call.json["key"]] = described
    return Answer()


def delete_secret(state: HubState, call: Call) -> Answer:
    """Delete a secret."""
    _remove(_space(state, call).secrets, call.json["key"])
    return Answer()


def get_variables(state: HubState, call: Call) -> Answer:
    """Return the variables."""
    return as_json(state.visible(call).space.variables)


def set_variable(state: HubState, call: Call) -> Answer:
    """Set a variable, and return all."""
    variables = _space(state, call).variables
    variables[call.json["key"]] = {name: call.json[name] for name in ("value", "description") if name in call.json}
    return as_json(variables)


def delete_variable(state: HubState, call: Call) -> Answer:
    """Delete a variable, and return the others."""
    variables = _space(state, call).variables
    _remove(variables, call.json["key"])
    return as_json(variables)


def _remove(named: dict, key: str):
    if named.pop(key, None) is None:
        raise Refusal(404, f"There is no {key} in this Space")
