//! Comparing Kubernetes quantities (apimachinery `resource.Quantity`) as far as sizes need it.

/// Whether `left` is more than `right`; `false` where one cannot be read.
pub(crate) fn is_more(left: &str, right: &str) -> bool {
    match (parse(left), parse(right)) {
        (Some(left), Some(right)) => left > right,
        _ => false,
    }
}

/// Whether a request fits into so many bytes; one that cannot be read is beyond all of them.
pub(crate) fn fits(request: &str, bytes: u64) -> bool {
    parse(request).is_some_and(|request| request <= i128::from(bytes) * PARTS)
}

/// Into how many parts [`parse`] divides 1: thousandths of a unit with nine decimals.
const PARTS: i128 = 1_000_000_000_000;

/// The value in parts of 1 / [`PARTS`].
fn parse(text: &str) -> Option<i128> {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-')))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    // Decimal fractions beyond nine places do not occur in sizes.
    let digits = format!("{whole}{:0<9}", fraction.get(..fraction.len().min(9))?);
    let nanos: i128 = digits.parse().ok()?;
    let scaled = match suffix {
        "" => nanos.checked_mul(1000)?,
        "m" => nanos,
        "k" => nanos.checked_mul(1_000_000)?,
        "M" => nanos.checked_mul(1_000_000_000)?,
        "G" => nanos.checked_mul(1_000_000_000_000)?,
        "T" => nanos.checked_mul(1_000_000_000_000_000)?,
        "P" => nanos.checked_mul(1_000_000_000_000_000_000)?,
        "E" => nanos.checked_mul(1_000_000_000_000_000_000_000)?,
        "Ki" => nanos.checked_mul(1000 << 10)?,
        "Mi" => nanos.checked_mul(1000 << 20)?,
        "Gi" => nanos.checked_mul(1000 << 30)?,
        "Ti" => nanos.checked_mul(1000 << 40)?,
        "Pi" => nanos.checked_mul(1000_i128 << 50)?,
        "Ei" => nanos.checked_mul(1000_i128 << 60)?,
        exponent => {
            let exponent: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
            let thousandths = nanos.checked_mul(1000)?;
            if exponent < 0 {
                thousandths / power
            } else {
                thousandths.checked_mul(power)?
            }
        }
    };
    Some(scaled)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("1Gi", 1 << 30, true)]
    #[case("1Gi", (1 << 30) - 1, false)]
    #[case("1k", 1000, true)]
    #[case("1001m", 1, false)]
    #[case("0", 0, true)]
    #[case("16Ei", u64::MAX, false)]
    #[case("garbage", u64::MAX, false)]
    fn a_request_fits_or_not(#[case] request: &str, #[case] bytes: u64, #[case] expected: bool) {
        assert_eq!(fits(request, bytes), expected);
    }

    #[rstest]
    #[case("2Gi", "1Gi", true)]
    #[case("1Gi", "1024Mi", false)]
    #[case("1025Mi", "1Gi", true)]
    #[case("1G", "1Gi", false)]
    #[case("1.5Gi", "1536Mi", false)]
    #[case("1e9", "1G", false)]
    #[case("1000m", "1", false)]
    #[case("1001m", "1", true)]
    #[case("1E", "1Ei", false)]
    #[case("16Ei", "15Ei", true)]
    #[case("garbage", "1", false)]
    fn sizes_are_compared_by_value(#[case] left: &str, #[case] right: &str, #[case] more: bool) {
        assert_eq!(is_more(left, right), more);
    }
}
