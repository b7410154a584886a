"""Into pods: programs run inside, logs followed, ports forwarded."""

from kubernetes import watch
from kubernetes.stream import portforward, stream

from support import InNamespace, sleeper, until

SERVES = """
echo one; echo two
mkdir -p /tmp/www && echo served > /tmp/www/page
exec httpd -f -p 8080 -h /tmp/www
"""


class Streaming(InNamespace):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls().running(sleeper("target", SERVES))

    def runTest(self):
        """Lets a bare instance be made, for its helpers."""

    def exec(self, *command, **options):
        settings = {"stdout": True, "stderr": True, "stdin": False, "tty": False, **options}
        return stream(
            self.core.connect_get_namespaced_pod_exec,
            "target",
            self.namespace,
            command=list(command),
            **settings,
        )

    def test_a_program_says_what_it_says(self):
        self.assertEqual(self.exec("echo", "hello"), "hello\n")

    def test_a_program_reads_what_is_sent_and_ends_with_its_code(self):
        session = self.exec("sh", "-c", "read line; echo got $line; echo bad >&2; exit 7", stdin=True, _preload_content=False)
        session.write_stdin("ten\n")
        session.run_forever(timeout=30)
        self.assertEqual(session.read_stdout(), "got ten\n")
        self.assertEqual(session.read_stderr(), "bad\n")
        self.assertEqual(session.returncode, 7)

    def test_bytes_pass_as_they_are(self):
        session = self.exec("head", "-c", "100000", "/dev/zero", binary=True, _preload_content=False)
        session.run_forever(timeout=30)
        self.assertEqual(session.read_stdout(), bytes(100000))

    def test_a_terminal_is_one(self):
        self.assertIn("/dev/pts/", self.exec("tty", tty=True, stdin=True))

    def test_logs_are_read_whole_in_part_and_as_they_come(self):
        log = self.core.read_namespaced_pod_log("target", self.namespace)
        self.assertEqual(log, "one\ntwo\n")
        log = self.core.read_namespaced_pod_log("target", self.namespace, tail_lines=1)
        self.assertEqual(log, "two\n")
        follower = watch.Watch()
        lines = []
        for line in follower.stream(self.core.read_namespaced_pod_log, "target", self.namespace):
            lines.append(line)
            if len(lines) == 2:
                follower.stop()
        self.assertEqual(lines, ["one", "two"])

    def test_a_port_is_forwarded(self):
        def page():
            forwarded = portforward(
                self.core.connect_get_namespaced_pod_portforward, "target", self.namespace, ports="8080"
            )
            socket = forwarded.socket(8080)
            socket.setblocking(True)
            socket.settimeout(30)
            socket.sendall(b"GET /page HTTP/1.0\r\n\r\n")
            answer = b""
            while piece := socket.recv(4096):
                answer += piece
            self.assertIsNone(forwarded.error(8080))
            return answer

        # Ready is when the process runs, a moment before it listens.
        answer = until("the page is served", lambda: b"served" in (answer := page()) and answer)
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 OK") or answer.startswith(b"HTTP/1.0 200 OK"), answer)
