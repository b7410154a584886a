//! A configuration applied to an object of any kind, twice: the second time changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plinth_api::apply::{Author, Configuration, FieldSet, read_configuration};
use plinth_fuzz::{halves, kind_and_rest};
use serde_json::Value;

fuzz_target!(|input: &[u8]| {
    let Some((resource, schema, rest)) = kind_and_rest(input) else {
        return;
    };
    let (live, text) = halves(rest);
    let Ok(text) = read_configuration(text) else {
        return;
    };
    let live = serde_json::from_slice::<Value>(live)
        .ok()
        .filter(Value::is_object);
    let live = live.and_then(|live| plinth_api::fit_to(schema, live).ok());
    let mut config = text.config;
    let api_version = match resource.group {
        "" => resource.version.to_owned(),
        group => format!("{group}/{}", resource.version),
    };
    config["apiVersion"] = api_version.as_str().into();
    config["kind"] = resource.kind.into();
    let configuration = Configuration {
        schema,
        gvk: (resource.group, resource.version, resource.kind),
        reset: &FieldSet::default(),
        author: Author {
            manager: "fuzz",
            api_version: &api_version,
            subresource: "",
            time: "2026-01-01T00:00:00Z",
        },
        force: true,
        config: &config,
    };
    if let Ok(once) = configuration.apply(live.as_ref()) {
        let twice = configuration
            .apply(Some(&once))
            .expect("what was applied can be applied again");
        assert_eq!(once, twice);
    }
});
