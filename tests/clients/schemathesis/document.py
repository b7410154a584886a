"""Writes the server's OpenAPI v3 documents as one, its operations in an order that the seed gives.

Usage: document.py SERVER CA CERT KEY SEED > document.json
"""

import json
import random
import ssl
import sys
import urllib.request


def tolerate(name, schema):
    """Go writes `null` for a list or time that holds nothing and may not be left out, as upstream's answers show, though
    its documents do not say so. Clients know."""
    if name.endswith((".Time", ".MicroTime")):
        schema["nullable"] = True
    for property in schema.get("properties", {}).values():
        if property.get("type") == "array":
            property["nullable"] = True


def tolerate_objects(operations):
    """A deletion that something holds up is answered with the object, where the documents speak of a Status alone."""
    schema = next(iter(operations["get"]["responses"]["200"]["content"].values()))["schema"]
    for answer in operations["delete"]["responses"].values():
        for content in answer.get("content", {}).values():
            content["schema"] = {"anyOf": [content["schema"], schema]}


def main():
    server, authority, certificate, key, seed = sys.argv[1:]
    context = ssl.create_default_context(cafile=authority)
    context.load_cert_chain(certificate, key)

    def get(path):
        with urllib.request.urlopen(server + path, context=context) as answer:
            return json.load(answer)

    paths, schemas = {}, {}
    for group in get("/openapi/v3")["paths"].values():
        document = get(group["serverRelativeURL"])
        paths.update(document["paths"])
        for name, schema in document.get("components", {}).get("schemas", {}).items():
            if schemas.setdefault(name, schema) != schema:
                sys.exit(f"two documents say different things of {name}")
    for name, schema in schemas.items():
        tolerate(name, schema)
    for operations in paths.values():
        if "delete" in operations and "get" in operations:
            tolerate_objects(operations)
    order = list(paths)
    random.Random(int(seed)).shuffle(order)
    json.dump(
        {
            "openapi": "3.0.0",
            "info": {"title": "Plinth", "version": "all groups"},
            "paths": {path: paths[path] for path in order},
            "components": {"schemas": schemas},
        },
        sys.stdout,
    )


main()
