//! Amounts of resources: `100m`, `1.5Gi`, `1e3`. Knows the arithmetic and the canonical text, no resource names.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// How an amount was written; the canonical text keeps it where it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// `n u m k M G T P E`.
    DecimalSi,
    /// `Ki Mi Gi Ti Pi Ei`.
    BinarySi,
    /// `e3`.
    DecimalExponent,
}

/// Why a text is no quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// The text does not have the form of a quantity.
    #[error(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )]
    Format,
    /// The number has a suffix that does not exist.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

const NANO: i128 = 1_000_000_000;
/// Amounts beyond this are cut to it, in either direction.
const MAX: i128 = i64::MAX as i128 * NANO;

/// An exact amount, to the billionth; finer amounts are rounded away from zero. Compares by amount.
#[derive(Debug, Clone, Copy)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

impl Quantity {
    /// A whole amount.
    pub fn whole(value: i64) -> Self {
        Self {
            nanos: i128::from(value) * NANO,
            format: Format::DecimalSi,
        }
    }

    /// Zero.
    pub fn zero() -> Self {
        Self::whole(0)
    }

    /// The amount in whole units, rounded up.
    pub fn ceil(self) -> i64 {
        Self::narrow(div_up(self.nanos, NANO))
    }

    /// The amount in thousandths, rounded up.
    pub fn millis_ceil(self) -> i64 {
        Self::narrow(div_up(self.nanos, NANO / 1000))
    }

    fn narrow(value: i128) -> i64 {
        i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
    }

    /// Whether the amount is a whole number.
    pub fn is_whole(self) -> bool {
        self.nanos % NANO == 0
    }

    /// Below, at or above zero.
    pub fn sign(self) -> Ordering {
        self.nanos.cmp(&0)
    }

    /// The amount rounded up to thousandths, the precision the API keeps in resource lists.
    #[must_use]
    pub fn round_up_to_millis(self) -> Self {
        Self {
            nanos: div_up(self.nanos, NANO / 1000) * (NANO / 1000),
            format: self.format,
        }
    }

    /// The sum; its text has the form of `self`, or of `other` when `self` is zero.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let format = if self.nanos == 0 {
            other.format
        } else {
            self.format
        };
        Self {
            nanos: (self.nanos + other.nanos).clamp(-MAX, MAX),
            format,
        }
    }

    /// The difference; its text has the form that [`Quantity::plus`] gives.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.plus(Self {
            nanos: -other.nanos,
            format: other.format,
        })
    }

    /// The amount as a float, which may not be exact.
    #[expect(
        clippy::cast_precision_loss,
        reason = "that is what the caller asks for"
    )]
    pub fn approximate(self) -> f64 {
        self.nanos as f64 / NANO as f64
    }

    fn decimal(self) -> (i128, i32) {
        let (mut mantissa, mut exponent) = (self.nanos, -9);
        while mantissa % 10 == 0 {
            mantissa /= 10;
            exponent += 1;
        }
        while exponent % 3 != 0 {
            mantissa *= 10;
            exponent -= 1;
        }
        (mantissa, exponent)
    }
}

/// Division rounding away from zero.
fn div_up(value: i128, by: i128) -> i128 {
    let quotient = value / by;
    if value % by == 0 {
        quotient
    } else {
        quotient + value.signum()
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        // Small and fractional amounts have no binary form.
        if self.format == Format::BinarySi && self.is_whole() && self.nanos.abs() >= 1024 * NANO {
            let (mut mantissa, mut power) = (self.nanos / NANO, 0);
            while mantissa % 1024 == 0 && power < 6 {
                mantissa /= 1024;
                power += 1;
            }
            return write!(
                f,
                "{mantissa}{}",
                ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][power]
            );
        }
        let (mantissa, exponent) = self.decimal();
        if self.format == Format::DecimalExponent {
            return if exponent == 0 {
                write!(f, "{mantissa}")
            } else {
                write!(f, "{mantissa}e{exponent}")
            };
        }
        let suffix = match exponent {
            -9 => "n",
            -6 => "u",
            -3 => "m",
            3 => "k",
            6 => "M",
            9 => "G",
            12 => "T",
            15 => "P",
            18 => "E",
            _ => "",
        };
        write!(f, "{mantissa}{suffix}")
    }
}

/// The factor of a suffix as powers of two and ten.
fn suffix(text: &str) -> Option<(u32, i32, Format)> {
    let decimal = |power| Some((0, power, Format::DecimalSi));
    let binary = |power| Some((power, 0, Format::BinarySi));
    match text {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let exponent = text.strip_prefix(['e', 'E'])?;
            exponent
                .parse::<i32>()
                .ok()
                .map(|power| (0, power, Format::DecimalExponent))
        }
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let number_len = rest
            .bytes()
            .take_while(|b| b.is_ascii_digit() || *b == b'.')
            .count();
        let (number, tail) = rest.split_at(number_len);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.len() + fraction.len() == 0 || fraction.contains('.') {
            return Err(QuantityError::Format);
        }
        let letters = tail.trim_end_matches(|c: char| c.is_ascii_digit());
        let letters = letters.strip_suffix(['+', '-']).unwrap_or(letters);
        if !letters.bytes().all(|b| b"eEinumkKMGTP".contains(&b)) {
            return Err(QuantityError::Format);
        }
        let (twos, tens, format) = suffix(tail).ok_or(QuantityError::Suffix)?;

        let digits = format!("{whole}{fraction}");
        let digits = digits.trim_start_matches('0');
        // digits * 2^twos * 10^scale is the amount in billionths.
        let mut scale = i64::from(tens) + 9 - i64::try_from(fraction.len()).unwrap_or(i64::MAX);
        let mut kept = digits.to_owned();
        // Digits beyond the billionth's neighbourhood only decide whether to round up.
        let mut sticky = false;
        while kept.len() > 19 && scale < 0 {
            sticky |= kept.pop() != Some('0');
            scale += 1;
        }
        let nanos = if kept.is_empty() {
            i128::from(sticky)
        } else {
            // What does not fit has no fraction left, and is beyond the maximum.
            let mantissa = kept
                .parse::<i128>()
                .ok()
                .and_then(|mantissa| mantissa.checked_mul(1 << twos));
            mantissa.map_or(MAX, |mantissa| scaled(mantissa, scale, sticky))
        };
        let nanos = nanos.min(MAX);
        Ok(Self {
            nanos: if negative { -nanos } else { nanos },
            format,
        })
    }
}

/// `mantissa * 10^scale`, rounded up, at most [`MAX`].
fn scaled(mantissa: i128, scale: i64, sticky: bool) -> i128 {
    let power = u32::try_from(scale.unsigned_abs())
        .ok()
        .and_then(|p| 10_i128.checked_pow(p));
    match (power, scale >= 0) {
        (Some(power), true) => mantissa.checked_mul(power).unwrap_or(MAX).min(MAX),
        (None, true) => MAX,
        (Some(power), false) if !sticky => div_up(mantissa, power).min(MAX),
        (Some(power), false) => (mantissa / power + 1).min(MAX),
        (None, false) => 1,
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str) -> String {
        text.parse::<Quantity>()
            .map_or_else(|e| format!("!{e}"), |q| q.to_string())
    }

    #[test]
    fn canonical_texts() {
        for (given, want) in [
            ("0", "0"),
            ("0Mi", "0"),
            ("-0", "0"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("0.5", "500m"),
            ("1.0", "1"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Ki", "512"),
            ("1000Mi", "1000Mi"),
            ("1023", "1023"),
            ("1000", "1k"),
            ("1000000", "1M"),
            ("1234", "1234"),
            ("1e3", "1e3"),
            ("1E3", "1e3"),
            ("12e1", "120"),
            ("1e-3", "1e-3"),
            ("100k", "100k"),
            ("0.001n", "1n"),
            ("-1.5", "-1500m"),
            ("+5", "5"),
            (".5", "500m"),
            ("5.", "5"),
            ("1.00000000000000000000001", "1000000001n"),
            ("99999999999999999999", "9223372036854775807"),
            ("16Ei", "9223372036854775807"),
            ("1e400", "9223372036854775807e0"),
            ("2048Ki", "2Mi"),
            ("100u", "100u"),
        ] {
            let want = want.trim_end_matches("e0");
            assert_eq!(canonical(given), want, "{given}");
        }
    }

    #[test]
    fn refusals() {
        for given in ["", "-", "abc", "1 Gi", "1..2", ".", "1,5"] {
            assert_eq!(
                given.parse::<Quantity>(),
                Err(QuantityError::Format),
                "{given}"
            );
        }
        for given in ["1K", "1mm", "1Gii", "1e", "1KK"] {
            assert_eq!(
                given.parse::<Quantity>(),
                Err(QuantityError::Suffix),
                "{given}"
            );
        }
    }

    #[test]
    fn amounts_compare_and_round() {
        let q = |t: &str| t.parse::<Quantity>().unwrap();
        assert_eq!(q("1024Mi"), q("1Gi"));
        assert!(q("1G") < q("1Gi"));
        assert_eq!(q("1.0001").round_up_to_millis().to_string(), "1001m");
        assert_eq!(
            (
                q("1500m").ceil(),
                q("1500m").millis_ceil(),
                q("-1.5").ceil()
            ),
            (2, 1500, -2)
        );
        assert_eq!(q("1Gi").plus(q("1Mi")).to_string(), "1025Mi");
    }

    proptest! {
        #[test]
        fn canonical_text_is_stable(text in "[+-]?[0-9]{1,20}(\\.[0-9]{0,12})?(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|e[0-9]|)") {
            let quantity = text.parse::<Quantity>().unwrap();
            let again = quantity.to_string().parse::<Quantity>().unwrap();
            prop_assert_eq!(quantity, again);
            prop_assert_eq!(quantity.to_string(), again.to_string());
        }
    }
}
