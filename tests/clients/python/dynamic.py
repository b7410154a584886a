"""The client that knows no kinds beforehand: it finds them by discovery, a custom one among them."""

import uuid

from kubernetes import client, dynamic
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError, UnprocessibleEntityError

from support import InNamespace, until


class Dynamic(InNamespace):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.dynamic = dynamic.DynamicClient(client.ApiClient())
        definitions = cls.dynamic.resources.get(
            api_version="apiextensions.k8s.io/v1", kind="CustomResourceDefinition"
        )
        cls.group = f"g{uuid.uuid4().hex[:8]}.example.com"
        cls.definition = definitions.create(
            body={
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": {"name": f"boats.{cls.group}"},
                "spec": {
                    "group": cls.group,
                    "scope": "Namespaced",
                    "names": {"plural": "boats", "singular": "boat", "kind": "Boat"},
                    "versions": [
                        {
                            "name": "v1",
                            "served": True,
                            "storage": True,
                            "subresources": {"status": {}},
                            "schema": {
                                "openAPIV3Schema": {
                                    "type": "object",
                                    "properties": {
                                        "spec": {
                                            "type": "object",
                                            "properties": {
                                                "masts": {"type": "integer", "maximum": 3, "default": 1}
                                            },
                                        },
                                        "status": {
                                            "type": "object",
                                            "properties": {"afloat": {"type": "boolean"}},
                                        },
                                    },
                                }
                            },
                        }
                    ],
                },
            }
        )

        def established():
            found = definitions.get(name=f"boats.{cls.group}")
            return any(
                c.type == "Established" and c.status == "True" for c in found.status.conditions or []
            )

        until("the custom kind is established", established)
        cls.definitions = definitions
        cls.boats = until("the custom kind is discovered", cls.discovered)

    @classmethod
    def discovered(cls):
        cls.dynamic.resources.invalidate_cache()
        try:
            return cls.dynamic.resources.get(api_version=f"{cls.group}/v1", kind="Boat")
        except dynamic.exceptions.ResourceNotFoundError:
            return None

    @classmethod
    def tearDownClass(cls):
        cls.definitions.delete(name=f"boats.{cls.group}")
        super().tearDownClass()

    def boat(self, name, **spec):
        return {
            "apiVersion": f"{self.group}/v1",
            "kind": "Boat",
            "metadata": {"name": name},
            "spec": spec,
        }

    def test_a_custom_object_lives_like_any_other(self):
        boat = self.boats.create(body=self.boat("argo"), namespace=self.namespace)
        self.assertEqual(boat.spec.masts, 1)
        boat.spec.masts = 2
        boat = self.boats.replace(body=boat.to_dict(), namespace=self.namespace)
        self.assertEqual(boat.metadata.generation, 2)
        boat = self.boats.status.patch(
            name="argo",
            namespace=self.namespace,
            body={"status": {"afloat": True}, "spec": {"masts": 3}},
            content_type="application/merge-patch+json",
        )
        self.assertEqual((boat.status.afloat, boat.spec.masts), (True, 2))
        self.boats.delete(name="argo", namespace=self.namespace)
        with self.assertRaises(NotFoundError):
            self.boats.get(name="argo", namespace=self.namespace)

    def test_a_custom_object_is_judged_by_its_schema(self):
        with self.assertRaises(UnprocessibleEntityError) as refused:
            self.boats.create(body=self.boat("cutty", masts=4), namespace=self.namespace)
        self.assertIn("spec.masts", refused.exception.summary())

    def test_two_managers_share_a_custom_object(self):
        def apply(manager, **spec):
            return self.boats.server_side_apply(
                name="fram",
                namespace=self.namespace,
                body=self.boat("fram", **spec),
                field_manager=manager,
            )

        apply("shipyard", masts=3)
        with self.assertRaises(ConflictError):
            apply("harbour", masts=2)

    def test_a_watch_tells_of_custom_objects(self):
        start = self.boats.get(namespace=self.namespace).metadata.resourceVersion
        self.boats.create(body=self.boat("vasa"), namespace=self.namespace)
        self.boats.delete(name="vasa", namespace=self.namespace)
        events = []
        for event in self.boats.watch(namespace=self.namespace, resource_version=start, timeout=30):
            events.append((event["type"], event["object"].metadata.name))
            if len(events) == 2:
                break
        self.assertEqual(events, [("ADDED", "vasa"), ("DELETED", "vasa")])

    def test_built_in_kinds_are_found_by_discovery(self):
        sets = self.dynamic.resources.get(api_version="apps/v1", kind="StatefulSet")
        self.assertEqual((sets.name, sets.namespaced), ("statefulsets", True))
        self.assertIn("scale", sets.subresources)
        self.assertEqual(sets.get(namespace=self.namespace).kind, "StatefulSetList")
