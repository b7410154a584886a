"""Lists and watches: nothing is missed, nothing comes twice, and who comes too late is told so."""

import threading

from kubernetes import client, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.informer import ADDED, DELETED, MODIFIED, SharedInformer

from support import InNamespace, until


class Watching(InNamespace):
    def config(self, name, **data):
        return self.core.create_namespaced_config_map(
            self.namespace, {"metadata": {"name": name, "labels": {"of": "watching"}}, "data": data}
        )

    def tearDown(self):
        self.core.delete_collection_namespaced_config_map(self.namespace, label_selector="of=watching")

    def seen(self, count, **options):
        """The next `count` events of ConfigMaps with the label of these tests."""
        events = []
        watcher = watch.Watch()
        for event in watcher.stream(
            self.core.list_namespaced_config_map,
            self.namespace,
            label_selector="of=watching",
            timeout_seconds=30,
            **options,
        ):
            events.append((event["type"], event["object"].metadata.name))
            if len(events) == count:
                watcher.stop()
        return events, watcher.resource_version

    def test_a_watch_goes_on_where_the_list_ended(self):
        self.config("before")
        listed = self.core.list_namespaced_config_map(self.namespace, label_selector="of=watching")
        self.assertEqual([item.metadata.name for item in listed.items], ["before"])
        self.config("one")
        self.core.patch_namespaced_config_map("before", self.namespace, {"data": {"a": "b"}})
        self.core.delete_namespaced_config_map("one", self.namespace)
        version = listed.metadata.resource_version
        self.assertEqual(
            self.seen(3, resource_version=version)[0],
            [("ADDED", "one"), ("MODIFIED", "before"), ("DELETED", "one")],
        )

    def test_a_watch_resumes_after_its_last_event(self):
        start = self.core.list_namespaced_config_map(self.namespace).metadata.resource_version
        for name in ["first", "second", "third"]:
            self.config(name)
        events, version = self.seen(1, resource_version=start)
        self.assertEqual(events, [("ADDED", "first")])
        self.assertEqual(
            self.seen(2, resource_version=version)[0], [("ADDED", "second"), ("ADDED", "third")]
        )

    def test_a_watch_without_a_version_tells_what_there_is(self):
        self.config("a")
        self.config("b")
        self.assertEqual(sorted(self.seen(2)[0]), [("ADDED", "a"), ("ADDED", "b")])

    def test_whoever_leaves_the_selection_is_deleted_for_it(self):
        self.config("leaver")
        start = self.core.list_namespaced_config_map(self.namespace).metadata.resource_version
        self.core.patch_namespaced_config_map(
            "leaver", self.namespace, {"metadata": {"labels": {"of": None}}}
        )
        self.assertEqual(self.seen(1, resource_version=start)[0], [("DELETED", "leaver")])
        self.core.delete_namespaced_config_map("leaver", self.namespace)

    def test_a_watch_ends_when_it_was_to_end(self):
        start = self.core.list_namespaced_config_map(self.namespace).metadata.resource_version
        events = list(
            watch.Watch().stream(
                self.core.list_namespaced_config_map,
                self.namespace,
                resource_version=start,
                timeout_seconds=1,
            )
        )
        self.assertEqual(events, [])

    def test_a_version_that_is_no_version_is_refused(self):
        with self.assertRaises(ApiException) as refused:
            self.seen(1, resource_version="yesterday")
        # Upstream's own answer: not a 400.
        self.assertEqual(refused.exception.status, 500)
        self.assertIn('resourceVersion: Invalid value: \\"yesterday\\"', refused.exception.body)

    def test_pages_make_one_list(self):
        names = [f"page-{number:02}" for number in range(25)]
        for name in names:
            self.config(name)
        found, token, versions = [], None, set()
        while True:
            page = self.core.list_namespaced_config_map(
                self.namespace, label_selector="of=watching", limit=10, _continue=token
            )
            found += [item.metadata.name for item in page.items]
            versions.add(page.metadata.resource_version)
            token = page.metadata._continue
            # What comes after the first page was asked for is not part of the list.
            if len(found) == 10:
                self.config("page-99")
            if not token:
                break
        self.assertEqual(found, names)
        self.assertEqual(len(versions), 1)

    def test_an_informer_holds_what_there_is(self):
        self.config("early", a="1")
        events, synced = [], threading.Event()
        informer = SharedInformer(
            self.core.list_namespaced_config_map, namespace=self.namespace, label_selector="of=watching"
        )
        for kind in [ADDED, MODIFIED, DELETED]:
            informer.add_event_handler(
                kind, lambda item, kind=kind: events.append((kind, item.metadata.name))
            )
        informer.start()
        try:
            until("the informer has the early one", lambda: ("ADDED", "early") in events)
            self.config("late")
            self.core.patch_namespaced_config_map("early", self.namespace, {"data": {"a": "2"}})
            until("the informer has the change", lambda: ("MODIFIED", "early") in events)
            self.assertEqual(
                informer.cache.get_by_key(f"{self.namespace}/early").data, {"a": "2"}
            )
            self.core.delete_namespaced_config_map("late", self.namespace)
            until("the informer has the end", lambda: ("DELETED", "late") in events)
            self.assertEqual(
                [item.metadata.name for item in informer.cache.list()], ["early"]
            )
        finally:
            informer.stop()
