"""Claims to be somebody that nobody has vouched for."""

import base64
import json
import os
import ssl
import subprocess
import time

from support import MAPS, Unharmed, ask, trust


def part(content):
    """A part of a JSON Web Token."""
    if not isinstance(content, bytes):
        content = json.dumps(content).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


class Identities(Unharmed):
    def token(self):
        """A good token of the default account."""
        request = {"spec": {"expirationSeconds": 600}}
        path = "/api/v1/namespaces/default/serviceaccounts/default/token"
        answer = ask("POST", path, json.dumps(request))
        self.assertEqual(answer.code, 201, answer.body)
        return answer.json()["status"]["token"]

    def code(self, token):
        return ask("GET", MAPS, context=trust(), Authorization=f"Bearer {token}").code

    def test_tokens(self):
        good = self.token()
        # Known, and without the right.
        self.assertEqual(self.code(good), 403)
        head, claims, signature = good.split(".")
        known = json.loads(base64.urlsafe_b64decode(head + "=="))
        said = json.loads(base64.urlsafe_b64decode(claims + "=="))
        later = part(said | {"exp": int(time.time()) + 10**6})
        other = base64.urlsafe_b64decode(signature + "==")
        bad = {
            "another's claims": f"{head}.{later}.{signature}",
            "no signature": f"{head}.{claims}.",
            "another signature": f"{head}.{claims}.{part(bytes(64))}",
            "a flipped bit": f"{head}.{claims}.{part(bytes([other[0] ^ 1]) + other[1:])}",
            "none": f"{part(known | {'alg': 'none'})}.{claims}.",
            "the key as a secret": f"{part(known | {'alg': 'HS256'})}.{claims}.{signature}",
            "another key": f"{part(known | {'kid': 'other'})}.{claims}.{signature}",
            "half": good[: len(good) // 2],
            "twice": f"{good}.{signature}",
            "long": f"{head}.{'A' * 100_000}.{signature}",
            "nothing": "",
            "no token": "letmein",
        }
        for name, token in bad.items():
            with self.subTest(name):
                self.assertEqual(self.code(token), 403 if not token else 401)

    def test_a_certificate_of_another_authority(self):
        directory = os.environ["LAB_DIR"]
        certificate, key = f"{directory}/foreign.crt", f"{directory}/foreign.key"
        make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1"
        subprocess.run(
            [*make.split(), "-subj", "/O=system:masters/CN=kubernetes-admin", "-out", certificate, "-keyout", key],
            check=True,
            capture_output=True,
        )
        context = trust()
        context.load_cert_chain(certificate, key)
        try:
            code = ask("GET", MAPS, context=context).code
        except (ssl.SSLError, ConnectionError):
            # Refused before a word was said.
            return
        self.assertEqual(code, 401)

    def test_headers_that_would_make_somebody_of_nobody(self):
        names = {"Impersonate_User": "kubernetes-admin", "Impersonate_Group": "system:masters"}
        self.assertEqual(ask("GET", MAPS, context=trust(), **names).code, 403)
        names = {"X_Remote_User": "kubernetes-admin", "X_Remote_Group": "system:masters"}
        self.assertEqual(ask("GET", MAPS, context=trust(), **names).code, 403)
