"""Clients that are slow, silent, or many."""

import json
import resource
import socket
from concurrent.futures import ThreadPoolExecutor

from support import MAPS, Unharmed, admin, ask, connect, resident

IDLE = 10_000


class Connections(Unharmed):
    def test_whoever_does_not_read_costs_little_and_holds_up_nobody(self):
        path = "/api/v1/namespaces/kube-public/configmaps"
        for number in range(30):
            body = {"metadata": {"name": f"large-{number}"}, "data": {"a": "x" * 900_000}}
            self.assertEqual(ask("POST", path, json.dumps(body)).code, 201)
        ask("GET", path)
        before, lines = resident(), []
        try:
            for _ in range(50):
                line = connect(admin())
                line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                line.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                lines.append(line)
            for _ in range(50):
                self.assertEqual(ask("GET", "/api/v1/namespaces/default").code, 200)
            # Fifty times 27 MB would be 1.3 GB.
            self.assertLess(resident() - before, 200_000)
        finally:
            for line in lines:
                line.close()
        self.assertEqual(ask("DELETE", path).code, 200)

    def test_a_watcher_that_does_not_read_is_cut_off_or_forgotten(self):
        with connect(admin()) as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.sendall(b"GET /api/v1/namespaces/kube-public/configmaps?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n")
            path = "/api/v1/namespaces/kube-public/configmaps"
            body = {"metadata": {"name": "busy"}, "data": {"a": "x" * 500_000}}
            self.assertEqual(ask("POST", path, json.dumps(body)).code, 201)
            before = resident()
            for number in range(200):
                patch = json.dumps({"data": {"n": str(number)}})
                answer = ask("PATCH", f"{path}/busy", patch, Content_Type="application/merge-patch+json")
                self.assertEqual(answer.code, 200)
            # The changes are 100 MB.
            self.assertLess(resident() - before, 200_000)
        self.assertEqual(ask("DELETE", f"{path}/busy").code, 200)

    def test_ten_thousand_idle_connections(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = IDLE + 1000
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
        context, before = admin(), resident()

        def idle(_):
            line = connect(context)
            line.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertIn(b"200 OK", line.recv(4096))
            return line

        with ThreadPoolExecutor(4) as workers:
            lines = list(workers.map(idle, range(IDLE)))
        try:
            self.assertEqual(ask("GET", MAPS).code, 200)
            each = (resident() - before) / IDLE
            print(f"{IDLE} idle connections: {each:.1f} KiB each")
            self.assertLess(each, 64)
            # They are all still there.
            for line in lines[:: IDLE // 100]:
                line.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
                self.assertIn(b"200 OK", line.recv(4096))
        finally:
            for line in lines:
                line.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, max(hard, wanted)))
