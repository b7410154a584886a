//! The short hash in a revision's name (A-34). Knows bytes only.

const OFFSET: u32 = 2_166_136_261;
const PRIME: u32 = 16_777_619;

/// Letters and digits that cannot form words or be mistaken for one another.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// FNV-1 (multiply, then xor) over the data and the decimal collision count, as a decimal number whose
/// digits are put into the safe alphabet.
pub(crate) fn name_hash(data: &str, collisions: i32) -> String {
    let sum = fnv1(fnv1(OFFSET, data), &collisions.to_string());
    safe(&sum.to_string())
}

fn fnv1(start: u32, text: &str) -> u32 {
    text.bytes()
        .fold(start, |sum, byte| sum.wrapping_mul(PRIME) ^ u32::from(byte))
}

fn safe(text: &str) -> String {
    text.bytes()
        .map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A-34: the published vectors.
    #[test]
    fn hashes_are_those_of_kubernetes() {
        assert_eq!(safe(&fnv1(OFFSET, "").to_string()), "65bb57b6b5");
        assert_eq!(fnv1(OFFSET, "a"), 84_696_446);
        assert_eq!(safe("84696446"), "d8bfb88b");
        let data = r#"{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"app":"nginx"}},"spec":{"containers":[{"image":"nginx:1.25","name":"nginx"}]}}}}"#;
        assert_eq!(name_hash(data, 0), "6d7867f946");
        assert_eq!(name_hash(data, 1), "6d7867f947");
    }
}
