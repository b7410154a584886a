//! The OpenAPI v2 document in the protobuf form that kubectl reads it in: the messages of gnostic's `OpenAPIv2.proto`,
//! as far as the document has them. It refuses to know what the document is about.

use serde_json::Value;

/// The fields of a message.
struct Message {
    /// What a member of the JSON object is called, its field's number, and how its value is written.
    fields: &'static [(&'static str, u32, Form)],
    /// Where members go whose names begin with `x-`; 0 when there are none.
    extensions: u32,
}

/// How a value is written as a field.
enum Form {
    Text,
    Flag,
    /// Any value, as YAML, of which JSON is a part.
    Yaml,
    Message(&'static Message),
    /// The items of an array, each as a field of its own.
    Each(&'static Form),
    /// The members of an object, each as a message of name and value.
    Members(&'static Form),
    /// As the only field of a message around it.
    Within(u32, &'static Form),
    /// A parameter: where it stands decides which message it is.
    Parameter,
}

use Form::{Each, Flag, Members, Parameter, Text, Within, Yaml};

static DOCUMENT: Message = Message {
    fields: &[
        ("swagger", 1, Text),
        ("info", 2, Form::Message(&INFO)),
        ("paths", 8, Within(2, &Members(&Form::Message(&PATH)))),
        (
            "definitions",
            9,
            Within(1, &Members(&Form::Message(&SCHEMA))),
        ),
    ],
    extensions: 16,
};

static INFO: Message = Message {
    fields: &[("title", 1, Text), ("version", 2, Text)],
    extensions: 7,
};

static PATH: Message = Message {
    fields: &[
        ("get", 2, Form::Message(&OPERATION)),
        ("put", 3, Form::Message(&OPERATION)),
        ("post", 4, Form::Message(&OPERATION)),
        ("delete", 5, Form::Message(&OPERATION)),
        ("options", 6, Form::Message(&OPERATION)),
        ("head", 7, Form::Message(&OPERATION)),
        ("patch", 8, Form::Message(&OPERATION)),
        ("parameters", 9, Each(&Parameter)),
    ],
    extensions: 10,
};

static OPERATION: Message = Message {
    fields: &[
        ("tags", 1, Each(&Text)),
        ("description", 3, Text),
        ("operationId", 5, Text),
        ("produces", 6, Each(&Text)),
        ("consumes", 7, Each(&Text)),
        ("parameters", 8, Each(&Parameter)),
        (
            "responses",
            9,
            Within(1, &Members(&Within(1, &Form::Message(&RESPONSE)))),
        ),
        ("schemes", 10, Each(&Text)),
    ],
    extensions: 13,
};

static RESPONSE: Message = Message {
    fields: &[
        ("description", 1, Text),
        ("schema", 2, Within(1, &Form::Message(&SCHEMA))),
    ],
    extensions: 5,
};

static BODY: Message = Message {
    fields: &[
        ("description", 1, Text),
        ("name", 2, Text),
        ("in", 3, Text),
        ("required", 4, Flag),
        ("schema", 5, Form::Message(&SCHEMA)),
    ],
    extensions: 6,
};

static QUERY: Message = Message {
    fields: &[
        ("required", 1, Flag),
        ("in", 2, Text),
        ("description", 3, Text),
        ("name", 4, Text),
        ("type", 6, Text),
        ("uniqueItems", 20, Flag),
    ],
    extensions: 23,
};

static PATH_PARAMETER: Message = Message {
    fields: &[
        ("required", 1, Flag),
        ("in", 2, Text),
        ("description", 3, Text),
        ("name", 4, Text),
        ("type", 5, Text),
        ("uniqueItems", 19, Flag),
    ],
    extensions: 22,
};

static SCHEMA: Message = Message {
    fields: &[
        ("$ref", 1, Text),
        ("format", 2, Text),
        ("description", 4, Text),
        ("default", 5, Yaml),
        ("required", 19, Each(&Text)),
        ("enum", 20, Each(&Yaml)),
        (
            "additionalProperties",
            21,
            Within(1, &Form::Message(&SCHEMA)),
        ),
        ("type", 22, Within(1, &Text)),
        ("items", 23, Within(1, &Form::Message(&SCHEMA))),
        (
            "properties",
            25,
            Within(1, &Members(&Form::Message(&SCHEMA))),
        ),
    ],
    extensions: 31,
};

/// Writes an OpenAPI v2 document.
pub(super) fn document(document: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    DOCUMENT.write(document, &mut out);
    out
}

impl Message {
    fn write(&self, value: &Value, out: &mut Vec<u8>) {
        for (name, value) in value.as_object().into_iter().flatten() {
            let field = self.fields.iter().find(|(key, ..)| key == name);
            if let Some((_, number, form)) = field {
                form.write(*number, value, out);
            } else if name.starts_with("x-") && self.extensions != 0 {
                member(self.extensions, name, &Yaml, value, out);
            } else {
                debug_assert!(
                    false,
                    "the document has a {name} that its protobuf form does not know"
                );
            }
        }
    }
}

impl Form {
    fn write(&self, number: u32, value: &Value, out: &mut Vec<u8>) {
        match self {
            Text => bytes(number, value.as_str().unwrap_or_default().as_bytes(), out),
            Flag => {
                varint(u64::from(number) << 3, out);
                out.push(u8::from(value == true));
            }
            Yaml => nested(number, out, |out| {
                bytes(2, value.to_string().as_bytes(), out);
            }),
            Form::Message(message) => nested(number, out, |out| message.write(value, out)),
            Each(form) => value
                .as_array()
                .into_iter()
                .flatten()
                .for_each(|item| form.write(number, item, out)),
            Members(form) => {
                let members = value.as_object().into_iter().flatten();
                members.for_each(|(name, value)| member(number, name, form, value, out));
            }
            Within(inner, form) => nested(number, out, |out| form.write(*inner, value, out)),
            Parameter => {
                static IN_BODY: Form = Within(1, &Form::Message(&BODY));
                static IN_QUERY: Form = Within(2, &Within(3, &Form::Message(&QUERY)));
                static IN_PATH: Form = Within(2, &Within(4, &Form::Message(&PATH_PARAMETER)));
                let parameter = match value["in"].as_str() {
                    Some("body") => &IN_BODY,
                    Some("path") => &IN_PATH,
                    _ => &IN_QUERY,
                };
                nested(number, out, |out| parameter.write(1, value, out));
            }
        }
    }
}

/// One member of an object.
fn member(number: u32, name: &str, form: &Form, value: &Value, out: &mut Vec<u8>) {
    nested(number, out, |out| {
        bytes(1, name.as_bytes(), out);
        form.write(2, value, out);
    });
}

/// A message, whose length stands before it.
fn nested(number: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let mut message = Vec::new();
    write(&mut message);
    bytes(number, &message, out);
}

fn bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    varint(u64::from(number) << 3 | 2, out);
    // No length on this machine has more than 64 bits.
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
fn varint(mut number: u64, out: &mut Vec<u8>) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The bytes follow from the field numbers of the .proto file, written out by hand.
    #[test]
    fn fields_stand_under_their_numbers() {
        let document = document(&json!({
            "swagger": "2.0",
            "definitions": {"P": {"type": "object", "enum": ["a"], "x-k": [1]}},
        }));
        let schema = [
            b"\xa2\x01\x05\x12\x03\"a\"".as_slice(),
            b"\xb2\x01\x08\x0a\x06object",
            b"\xfa\x01\x0c\x0a\x03x-k\x12\x05\x12\x03[1]".as_slice(),
        ];
        // Members come in the order of their names; the JSON object has no other.
        let schema = schema.concat();
        let length = |bytes: &[u8]| [u8::try_from(bytes.len()).unwrap()];
        let named = [b"\x0a\x01P\x12".as_slice(), &length(&schema), &schema].concat();
        let definitions = [b"\x0a".as_slice(), &length(&named), &named].concat();
        let definitions = [b"\x4a".as_slice(), &length(&definitions), &definitions].concat();
        let expected = [definitions.as_slice(), b"\x0a\x032.0"].concat();
        assert_eq!(document, expected);
    }

    #[test]
    fn long_lengths_take_several_bytes() {
        let mut out = Vec::new();
        varint(300, &mut out);
        assert_eq!(out, [0xac, 0x02]);
    }
}
