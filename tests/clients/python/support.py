"""What every file of tests here needs: a client, a namespace of its own, and patience."""

import logging
import time
import unittest
import uuid

from kubernetes import client, config

config.load_kube_config()
# An informer that is stopped cuts its own connection and complains of it.
logging.getLogger("kubernetes.informer").setLevel(logging.CRITICAL)


def until(what, wanted, patience=60):
    """Asks `wanted` until it answers something true, and returns that."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        answer = wanted()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {patience} s")


def sleeper(name, script="exec sleep 1000"):
    """A pod that runs `script`."""
    return {
        "metadata": {"name": name},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {
                    "name": "main",
                    "image": "plinth-node",
                    "imagePullPolicy": "Never",
                    "command": ["sh", "-c", script],
                }
            ],
        },
    }


class InNamespace(unittest.TestCase):
    """A class of tests with a namespace of its own, which is gone afterwards."""

    @classmethod
    def setUpClass(cls):
        cls.core = client.CoreV1Api()
        cls.namespace = f"python-{uuid.uuid4().hex[:8]}"
        cls.core.create_namespace({"metadata": {"name": cls.namespace}})

    @classmethod
    def tearDownClass(cls):
        cls.core.delete_namespace(cls.namespace)

    def running(self, pod):
        """Creates the pod and waits until it is ready."""
        name = pod["metadata"]["name"]
        self.core.create_namespaced_pod(self.namespace, pod)

        def ready():
            status = self.core.read_namespaced_pod(name, self.namespace).status
            return any(c.type == "Ready" and c.status == "True" for c in status.conditions or [])

        until(f"pod {name} is ready", ready)
        return name
