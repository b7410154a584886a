"""Candidates for one lock: one leads, and when it is gone the next does."""

import threading

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.leaderelection import electionconfig
from kubernetes.leaderelection.leaderelection import LeaderElection
from kubernetes.leaderelection.resourcelock.configmaplock import ConfigMapLock
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

from support import InNamespace


class Leading(InNamespace):
    def elected(self, kind, lock, identity):
        """Starts a candidate in the background; what is returned is set once it leads."""
        leads = threading.Event()
        election = LeaderElection(
            electionconfig.Config(
                kind(lock, self.namespace, identity),
                lease_duration=3,
                renew_deadline=2,
                retry_period=1,
                onstarted_leading=leads.set,
                onstopped_leading=lambda: None,
            )
        )
        threading.Thread(target=election.run, daemon=True).start()
        return leads

    def test_a_free_lease_is_taken_and_a_taken_one_waited_for(self):
        leases = client.CoordinationV1Api()
        first = self.elected(LeaseLock, "lease", "first")
        self.assertTrue(first.wait(30))
        lease = leases.read_namespaced_lease("lease", self.namespace)
        self.assertEqual(lease.spec.holder_identity, "first")
        second = self.elected(LeaseLock, "lease", "second")
        # Longer than the lease lasts: only its being renewed keeps the second out.
        self.assertFalse(second.wait(4))
        renewed = leases.read_namespaced_lease("lease", self.namespace)
        self.assertEqual(renewed.spec.holder_identity, "first")
        self.assertGreater(renewed.spec.renew_time, lease.spec.renew_time)

    def test_a_config_map_is_a_lock_too(self):
        self.assertTrue(self.elected(ConfigMapLock, "config", "first").wait(30))

    def test_of_two_who_take_a_lease_at_once_one_gets_it(self):
        leases = client.CoordinationV1Api()
        body = {"metadata": {"name": "raced"}, "spec": {"holderIdentity": "nobody"}}
        seen = leases.create_namespaced_lease(self.namespace, body)
        taken, refused = [], []

        def take(identity):
            mine = client.CoordinationV1Api().read_namespaced_lease("raced", self.namespace)
            mine.metadata.resource_version = seen.metadata.resource_version
            mine.spec.holder_identity = identity
            try:
                leases.replace_namespaced_lease("raced", self.namespace, mine)
                taken.append(identity)
            except ApiException as error:
                refused.append(error.status)

        threads = [threading.Thread(target=take, args=(f"racer-{n}",)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual((len(taken), refused), (1, [409] * 7))
        lease = leases.read_namespaced_lease("raced", self.namespace)
        self.assertEqual(lease.spec.holder_identity, taken[0])
