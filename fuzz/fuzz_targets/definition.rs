//! A CustomResourceDefinition, and an object of the kind that it makes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plinth_api::{BodyFormat, FieldValidation, Gvk, compile, decode, find_kind};
use plinth_fuzz::{halves, judged, schema};

fuzz_target!(|input: &[u8]| {
    let (definition, object) = halves(input);
    let resource = find_kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition")
        .expect("definitions are a kind");
    let gvk = Gvk::of(resource.group, resource.version, resource.kind);
    let Ok(decoded) = decode(
        schema(resource),
        &gvk,
        definition,
        BodyFormat::Json,
        FieldValidation::Ignore,
    ) else {
        return;
    };
    let mut definition = decoded.object;
    resource.strategy.default(&mut definition);
    resource.strategy.prepare_create(&mut definition);
    if !resource.strategy.validate(&definition).is_empty() {
        return;
    }
    definition["status"]["acceptedNames"] = definition["spec"]["names"].clone();
    for custom in compile(&definition) {
        let resource = custom.resource;
        let gvk = Gvk::of(resource.group, resource.version, resource.kind);
        if let Ok(decoded) = decode(
            custom.schema,
            &gvk,
            object,
            BodyFormat::Json,
            FieldValidation::Warn,
        ) {
            judged(resource, decoded.object);
        }
    }
});
