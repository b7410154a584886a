"""A client that sends whatever it is told to, byte by byte if need be."""

import http.client
import json
import os
import socket
import ssl
import unittest
from urllib.parse import urlsplit

URL = urlsplit(os.environ["PLINTH_URL"])
PKI = os.environ["PLINTH_PKI"]
PATIENCE = 60
MAPS = "/api/v1/namespaces/default/configmaps"


def trust():
    """Whom the server is believed to be, and nobody's certificate."""
    return ssl.create_default_context(cafile=f"{PKI}/ca.crt")


def admin():
    """The administrator."""
    context = trust()
    context.load_cert_chain(f"{PKI}/admin.crt", f"{PKI}/admin.key")
    return context


def connect(context):
    """A TLS connection that speaks HTTP/1.1."""
    plain = socket.create_connection((URL.hostname, URL.port), timeout=PATIENCE)
    return context.wrap_socket(plain, server_hostname=URL.hostname)


class Answer:
    """What came back."""

    def __init__(self, response):
        self.code = response.status
        self.headers = response.headers
        self.body = response.read()

    def json(self):
        return json.loads(self.body)

    def message(self):
        return self.json()["message"]


def ask(method, path, body=None, context=None, **headers):
    """One request over a connection of its own."""
    connection = http.client.HTTPSConnection(
        URL.hostname, URL.port, context=context or admin(), timeout=PATIENCE
    )
    try:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            fields.setdefault("Content-Type", "application/json")
        connection.request(method, path, body, fields)
        return Answer(connection.getresponse())
    finally:
        connection.close()


def resident():
    """How much memory the server has, in KiB."""
    with open(f"/proc/{os.environ['PLINTH_PID']}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


class Unharmed(unittest.TestCase):
    """Whatever a test did: afterwards the server answers, and no object has come of it."""

    def setUp(self):
        self.before = self.maps()

    def tearDown(self):
        self.assertEqual(self.maps(), self.before)

    def maps(self):
        answer = ask("GET", MAPS)
        self.assertEqual(answer.code, 200)
        return [item["metadata"]["name"] for item in answer.json()["items"]]

    def refused(self, answer, code, *words):
        """The answer is a Status with this code, and its message says each of `words`."""
        self.assertEqual(answer.code, code, answer.body[:500])
        status = answer.json()
        self.assertEqual((status["kind"], status["code"]), ("Status", code))
        for word in words:
            self.assertIn(word, status["message"])
