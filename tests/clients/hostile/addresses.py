"""Paths and queries that lead nowhere."""

from support import MAPS, Unharmed, admin, ask, connect


class Addresses(Unharmed):
    def test_escapes_do_not_lead_out(self):
        paths = [
            f"{MAPS}/..%2f..%2f..%2fnamespaces%2fkube-system",
            f"{MAPS}/%2e%2e/secrets",
            f"{MAPS}/../secrets",
            "/api/v1/namespaces/..%2fkube-system/configmaps",
            "/api/v1/namespaces/default%00/configmaps/x",
            "/openapi/v3/..%2f..%2fetc%2fpasswd",
            "/openapi/v3/../../../../etc/passwd",
            "/logs/..%2f..%2fetc%2fpasswd",
            "//api//v1//secrets",
        ]
        for path in paths:
            with self.subTest(path):
                answer = ask("GET", path)
                self.assertIn(answer.code, (301, 400, 403, 404, 405))
                self.assertNotIn(b"SecretList", answer.body)
                self.assertNotIn(b"root:x", answer.body)

    def test_broken_escapes(self):
        for path in ("/api/v1/%", "/api/v1/%zz", f"{MAPS}/%ff%fe", f"{MAPS}?a=%", f"{MAPS}?%zz=1"):
            with self.subTest(path):
                self.assertIn(ask("GET", path).code, (200, 400, 404))

    def test_unknown_parameters_mean_nothing(self):
        self.assertEqual(ask("GET", f"{MAPS}?colour=red&&=&=x").code, 200)

    def test_parameters_of_the_wrong_kind(self):
        self.refused(ask("GET", f"{MAPS}?limit=many"), 400)
        self.refused(ask("GET", f"{MAPS}?labelSelector=a=b=c"), 400)
        self.refused(ask("GET", f"{MAPS}?fieldSelector=data.a=b"), 400)
        self.refused(ask("GET", f"{MAPS}?continue=bm9uc2Vuc2U"), 400, "continue key is not valid")
        self.refused(ask("POST", f"{MAPS}?dryRun=Some", "{}"), 422, "dryRun")
        self.refused(ask("POST", f"{MAPS}?fieldValidation=Hard", "{}"), 422, "fieldValidation")

    def test_versions(self):
        self.refused(ask("GET", f"{MAPS}?resourceVersion=new"), 400, "Invalid value")
        self.refused(ask("GET", f"{MAPS}?resourceVersion=-1"), 400, "Invalid value")
        future = str(2**62)
        for query in (f"resourceVersion={future}", f"resourceVersion={future}&resourceVersionMatch=Exact"):
            self.refused(ask("GET", f"{MAPS}?{query}"), 504, "Too large resource version")
        self.refused(ask("GET", f"{MAPS}?watch=true&resourceVersion={future}"), 504)
        self.refused(ask("GET", f"{MAPS}?resourceVersionMatch=Exact"), 422)
        self.refused(ask("GET", f"{MAPS}?resourceVersion=1&resourceVersionMatch=Never"), 422)

    def test_long_ones(self):
        answer = ask("GET", "/api/v1/" + "a" * 60_000)
        self.assertIn(answer.code, (404, 414, 431))
        # The server need not read all of it before it answers and hangs up, which the sender may notice first.
        try:
            self.assertIn(ask("GET", MAPS, X_Long="b" * 2_000_000).code, (400, 431))
        except OSError as cut:
            self.assertNotIsInstance(cut, TimeoutError)
        self.assertEqual(ask("GET", MAPS).code, 200)

    def test_what_is_not_http(self):
        for text in (b"\x00" * 1000, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense"):
            with self.subTest(text[:20]), connect(admin()) as line:
                line.sendall(text)
                line.settimeout(30)
                while line.recv(4096):
                    pass
