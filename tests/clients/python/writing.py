"""Every way to change an object, and what happens when two want different things."""

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from support import InNamespace

APPLY = "application/apply-patch+yaml"


class Writing(InNamespace):
    def setUp(self):
        self.core.create_namespaced_service(
            self.namespace,
            {
                "metadata": {"name": "web", "labels": {"a": "1", "b": "2"}},
                "spec": {
                    "clusterIP": "None",
                    "ports": [{"name": "http", "port": 80}, {"name": "https", "port": 443}],
                },
            },
        )

    def tearDown(self):
        self.core.delete_namespaced_service("web", self.namespace)

    def patched(self, body, kind, **options):
        return self.core.patch_namespaced_service(
            "web", self.namespace, body, _content_type=kind, **options
        )

    def test_a_strategic_patch_merges_lists_by_key(self):
        service = self.patched(
            {"spec": {"ports": [{"port": 443, "name": "tls"}, {"port": 80, "$patch": "delete"}]}},
            "application/strategic-merge-patch+json",
        )
        self.assertEqual([(p.name, p.port) for p in service.spec.ports], [("tls", 443)])

    def test_a_merge_patch_replaces_lists(self):
        service = self.patched(
            {"metadata": {"labels": {"a": None}}, "spec": {"ports": [{"port": 90}]}},
            "application/merge-patch+json",
        )
        self.assertEqual(service.metadata.labels, {"b": "2"})
        self.assertEqual([p.port for p in service.spec.ports], [90])

    def test_a_json_patch_is_taken_step_by_step_or_not_at_all(self):
        steps = [
            {"op": "test", "path": "/metadata/labels/a", "value": "1"},
            {"op": "move", "from": "/metadata/labels/a", "path": "/metadata/labels/c"},
            {"op": "remove", "path": "/spec/ports/1"},
        ]
        service = self.patched(steps, "application/json-patch+json")
        self.assertEqual(service.metadata.labels, {"b": "2", "c": "1"})
        self.assertEqual([p.port for p in service.spec.ports], [80])
        with self.assertRaises(ApiException) as refused:
            self.patched(steps, "application/json-patch+json")
        self.assertEqual(refused.exception.status, 422)

    def test_who_applies_keeps_what_they_applied(self):
        def settings(**data):
            return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared"}, "data": data}

        def apply(manager, body, **options):
            return self.core.patch_namespaced_config_map(
                "shared", self.namespace, body, field_manager=manager, _content_type=APPLY, **options
            )

        apply("ann", settings(color="red", size="1"))
        with self.assertRaises(ApiException) as refused:
            apply("bob", settings(color="blue"))
        self.assertEqual(refused.exception.status, 409)
        self.assertIn('conflict with \\"ann\\": .data.color', refused.exception.body)
        both = apply("bob", settings(color="blue"), force=True)
        self.assertEqual(both.data, {"color": "blue", "size": "1"})
        left = apply("ann", settings())
        self.assertEqual(left.data, {"color": "blue"})
        managers = {entry.manager: entry.operation for entry in left.metadata.managed_fields}
        self.assertEqual(managers["bob"], "Apply")

    def test_an_old_copy_does_not_overwrite_a_newer_one(self):
        old = self.core.read_namespaced_service("web", self.namespace)
        self.patched({"metadata": {"labels": {"a": "9"}}}, "application/merge-patch+json")
        old.metadata.labels["b"] = "9"
        with self.assertRaises(ApiException) as refused:
            self.core.replace_namespaced_service("web", self.namespace, old)
        self.assertEqual(refused.exception.status, 409)

    def test_a_rehearsal_changes_nothing(self):
        rehearsed = self.patched(
            {"metadata": {"labels": {"a": "9"}}}, "application/merge-patch+json", dry_run="All"
        )
        self.assertEqual(rehearsed.metadata.labels["a"], "9")
        kept = self.core.read_namespaced_service("web", self.namespace)
        self.assertEqual(kept.metadata.labels["a"], "1")

    def test_a_typo_is_found_when_asked_for(self):
        with self.assertRaises(ApiException) as refused:
            self.patched({"spec": {"prots": []}}, "application/merge-patch+json", field_validation="Strict")
        self.assertEqual(refused.exception.status, 422)
        self.assertIn('unknown field \\"spec.prots\\"', refused.exception.body)

    def test_scale_is_an_object_of_its_own(self):
        apps = client.AppsV1Api()
        apps.create_namespaced_stateful_set(
            self.namespace,
            {
                "metadata": {"name": "none"},
                "spec": {
                    "replicas": 1,
                    "serviceName": "web",
                    "selector": {"matchLabels": {"app": "none"}},
                    "template": {
                        "metadata": {"labels": {"app": "none"}},
                        "spec": {"nodeSelector": {"no": "node"}, "containers": [{"name": "c", "image": "i"}]},
                    },
                },
            },
        )
        scale = apps.read_namespaced_stateful_set_scale("none", self.namespace)
        self.assertEqual((scale.spec.replicas, scale.status.selector), (1, "app=none"))
        scale = apps.patch_namespaced_stateful_set_scale(
            "none", self.namespace, {"spec": {"replicas": 2}}
        )
        self.assertEqual(scale.spec.replicas, 2)
