//! Durations as they are written on the command line.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

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

/// The same for a stretch of time that no calendar knows: a day has 24 hours, and there are no months and years.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = parse_span(text).ok().and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    let duration = duration.and_then(|duration| Duration::try_from(duration).ok());
    duration.ok_or_else(|| "write 0, 90s, 10m, 36h, 7d or 2w".to_owned())
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

    #[test]
    fn a_stretch_of_time_has_days_of_24_hours_and_no_months() {
        for (text, secs) in [("0", 0), ("90s", 90), ("1h30m", 5400), ("1d", 86_400), ("2w", 14 * 86_400)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(secs)), "{text}");
        }
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        for text in ["", "7", "-7d", "1mo", "1y", "1y2d", "soon"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
