//! Durations as they are written on the command line.

use jiff::Span;

/// A duration such as `0`, `90s`, `10m`, `36h`, `7d`, `2w`, `3mo`, `1y` or several of these one after the other. Days, weeks,
/// months and years are those of the calendar.
pub(super) fn parse_span(text: &str) -> Result<Span, String> {
    if text == "0" {
        return Ok(Span::new());
    }
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
    let span = text.parse::<Span>().ok().filter(|_| is_plain && text.starts_with(|first: char| first.is_ascii_digit()));
    span.ok_or_else(|| "write 0, 90s, 10m, 36h, 7d, 2w, 3mo or 1y".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_with_one_unit_or_several() {
        let plain = [
            ("0", Span::new()),
            ("90s", Span::new().seconds(90)),
            ("10m", Span::new().minutes(10)),
            ("36h", Span::new().hours(36)),
            ("7d", Span::new().days(7)),
            ("2w", Span::new().weeks(2)),
            ("3mo", Span::new().months(3)),
            ("1y6mo", Span::new().years(1).months(6)),
        ];
        for (text, span) in plain {
            assert_eq!(parse_span(text).unwrap().fieldwise(), span.fieldwise(), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "7", "-7d", "7 d", "7d ago", "P7D", "1.5h", "7x", "d", "99999999999999999999d"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }
}
