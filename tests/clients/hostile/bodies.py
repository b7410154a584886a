"""Bodies that are not what they should be."""

import json

from support import MAPS, Unharmed, admin, ask, connect

MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "bad"}}
LIMIT = 3 * 1024 * 1024


def nested(depth):
    """A ConfigMap with a field that holds lists in lists."""
    return json.dumps(MAP)[:-1] + ', "deep": ' + "[" * depth + "]" * depth + "}"


class Bodies(Unharmed):
    def test_cut_short_inside(self):
        self.refused(ask("POST", MAPS, json.dumps(MAP)[:-3]), 400, "unexpected end of JSON input")

    def test_cut_short_on_the_way(self):
        with connect(admin()) as line:
            body = json.dumps(MAP).encode()
            head = f"POST {MAPS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            line.sendall(f"{head}Content-Length: {len(body) + 10}\r\n\r\n".encode() + body)
            # Leaves in the middle.

    def test_too_large(self):
        body = json.dumps(MAP | {"data": {"a": "x" * LIMIT}})
        self.refused(ask("POST", MAPS, body), 413, "limit is 3145728")

    def test_too_large_and_its_length_unsaid(self):
        pieces = iter([b'{"data": {"a": "'] + [b"x" * 65536] * (LIMIT // 65536 + 1))
        self.refused(ask("POST", MAPS, pieces), 413, "limit is 3145728")

    def test_deep(self):
        for depth in (1_000, 10_000, 100_000):
            with self.subTest(depth):
                answer = ask("POST", MAPS + "?fieldValidation=Strict", nested(depth))
                self.refused(answer, 400)

    def test_deep_yaml_and_patches(self):
        kinds = ["yaml", "merge-patch+json", "strategic-merge-patch+json", "apply-patch+yaml"]
        for depth in (1_000, 100_000):
            for kind in kinds:
                with self.subTest(kind=kind, depth=depth):
                    method, path = ("POST", MAPS) if kind == "yaml" else ("PATCH", f"{MAPS}/kube-root-ca.crt")
                    query = "?fieldValidation=Strict&dryRun=All&fieldManager=deep"
                    answer = ask(method, path + query, nested(depth), Content_Type=f"application/{kind}")
                    self.assertIn(answer.code, (400, 404, 422, 500), answer.body[:300])
                    self.assertEqual(answer.json()["kind"], "Status")

    def test_the_same_field_twice(self):
        body = '{"metadata": {"name": "bad"}, "data": {"a": "1", "a": "2"}}'
        self.refused(ask("POST", MAPS + "?fieldValidation=Strict", body), 400, 'duplicate field "data.a"')
        warned = ask("POST", MAPS + "?dryRun=All", body)
        self.assertEqual(warned.code, 201)
        self.assertIn('duplicate field \\"data.a\\"', warned.headers["Warning"])

    def test_not_utf_8(self):
        body = b'{"metadata": {"name": "b\xffd"}}'
        self.refused(ask("POST", MAPS, body), 422, "metadata.name")
        answer = ask("POST", MAPS + "?dryRun=All", b'{"metadata": {"name": "bad"}, "data": {"a": "\xff"}}')
        # As Go reads it.
        self.assertEqual((answer.code, answer.json()["data"]["a"]), (201, "\N{REPLACEMENT CHARACTER}"))
        self.refused(ask("POST", MAPS, b"a: \xff", Content_Type="application/yaml"), 400)

    def test_media_types(self):
        for kind in ("text/plain", "application/xml", "application/", "json"):
            answer = ask("POST", MAPS, json.dumps(MAP), Content_Type=kind)
            self.refused(answer, 415, "unknown format")
        self.refused(ask("PATCH", f"{MAPS}/x", "{}", Content_Type="application/json"), 415)
        self.refused(ask("GET", MAPS, Accept="image/png"), 406)

    def test_not_an_object(self):
        for body in ("", "[]", '"text"', "1e400", "{", "\x00", '{"metadata": []}', '{"data": {"a": 1}}'):
            with self.subTest(body):
                self.refused(ask("POST", MAPS, body), 400)

    def test_another_kind_or_name_or_namespace(self):
        self.refused(ask("POST", MAPS, json.dumps(MAP | {"kind": "Secret"})), 400)
        elsewhere = MAP | {"metadata": {"name": "bad", "namespace": "kube-system"}}
        self.refused(ask("POST", MAPS, json.dumps(elsewhere)), 400, "namespace")
        self.refused(ask("PUT", f"{MAPS}/good", json.dumps(MAP)), 400, "name")
