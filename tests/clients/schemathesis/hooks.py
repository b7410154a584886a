"""What schemathesis cannot know: which values lead deeper, and which answers are right that its checks take for wrong."""

import random
import re

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    # Watches end when their time has come, which no document says.
    (case.query or {}).pop("watch", None)
    # A number that is none is answered as upstream does, with a 500 (tests/clients/python/watching.py).
    version = (case.query or {}).get("resourceVersion")
    if version is not None and not str(version).isdigit():
        del case.query["resourceVersion"]
    # Mostly aim at what exists and name what is made: chance alone hardly gets past the first check.
    choice = random.Random(str(case.id))
    parameters = case.path_parameters or {}
    if "namespace" in parameters and choice.random() < 0.8:
        parameters["namespace"] = "default"
    if isinstance(case.body, dict) and choice.random() < 0.8:
        metadata = {"name": f"s{choice.randrange(1000)}"}
        if "name" in parameters:
            metadata["name"] = parameters["name"] = f"s{choice.randrange(1000)}"
        case.body["metadata"] = metadata
        kinds = case.operation.definition.raw.get("x-kubernetes-group-version-kind")
        if isinstance(kinds, dict):
            group = kinds["group"] + "/" if kinds["group"] else ""
            case.body["apiVersion"], case.body["kind"] = group + kinds["version"], kinds["kind"]


# Upstream's own answers where it did not think of another code; it has no reason for them either.
KNOWN = [
    # Applying what the schema does not have.
    re.compile(r"^failed to create typed patch object .*: field not declared in schema$", re.DOTALL),
    # A Binding that names no node, or something else than one.
    re.compile(r"^(\[?target\.(name: Required value|kind: Unsupported value: ))"),
    # A version that is no number, where one object is asked for.
    re.compile(r"^resourceVersion: Invalid value: "),
]


@schemathesis.check
def refusals_are_statuses(context, response, case):
    """Whatever is refused is refused with a Status that says so, and never for a fault of the server's."""
    if response.status_code < 400:
        return
    status = response.json()
    assert status.get("kind") == "Status" and status.get("code") == response.status_code, status
    message = status.get("message")
    assert message, "a refusal without a word"
    known = "reason" not in status and any(text.search(message) for text in KNOWN)
    assert response.status_code < 500 or known, f"{response.status_code}: {message}"
