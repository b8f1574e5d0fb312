//! Kubernetes quantities as whole bytes, to compare a capacity with a request.
//!
//! Source: the grammar in the documentation of `resource.Quantity` (k8s.io/apimachinery).

/// The suffixes of the grammar, each with its factor; two letters before one, so that `Ki` is not
/// taken for a number that ends in `i`.
const SUFFIXES: &[(&str, u128)] = &[
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("Ei", 1 << 60),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000),
];

/// `text` in thousandths of a byte, exactly; `None` when it is no quantity that a size can be.
pub(in crate::cases) fn millibytes(text: &str) -> Option<u128> {
    if let Some(number) = text.strip_suffix('m') {
        return decimal(number, 1).filter(|_| !number.contains('.'));
    }
    for &(suffix, factor) in SUFFIXES {
        if let Some(number) = text.strip_suffix(suffix) {
            return decimal(number, factor.checked_mul(1_000)?);
        }
    }
    match text.split_once(['e', 'E']) {
        Some((number, exponent)) => {
            let factor = 10_u128.checked_pow(exponent.trim_start_matches('+').parse().ok()?)?;
            decimal(number, factor.checked_mul(1_000)?)
        }
        None => decimal(text, 1_000),
    }
}

/// A decimal number times `factor`, when that is whole.
fn decimal(number: &str, factor: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let scaled = digits.parse::<u128>().ok()?.checked_mul(factor)?;
    // A fraction of a thousandth of a byte is rounded up, as the API does.
    Some(scaled.div_ceil(scale))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("0", 0)]
    #[case("1Ki", 1_024)]
    #[case("1536Ki", 1_572_864)]
    #[case("1.5Mi", 1_572_864)]
    #[case("3M", 3_000_000)]
    #[case("1k", 1_000)]
    #[case("2e3", 2_000)]
    #[case("2E+3", 2_000)]
    #[case("2E", 2_000_000_000_000_000_000)]
    #[case("1Ei", 1 << 60)]
    fn sizes_are_bytes(#[case] text: &str, #[case] bytes: u128) {
        assert_eq!(millibytes(text), Some(bytes * 1_000));
    }

    #[test]
    fn thousandths_are_kept() {
        assert_eq!(millibytes("1500m"), Some(1_500));
        assert_eq!(millibytes("1.5"), Some(1_500));
    }

    #[rstest]
    #[case("")]
    #[case("Mi")]
    #[case("-1Mi")]
    #[case("1 Mi")]
    #[case("1KiB")]
    #[case("1.2.3")]
    fn what_is_no_size_is_none(#[case] text: &str) {
        assert_eq!(millibytes(text), None);
    }
}
