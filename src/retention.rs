//! Which snapshots of a group a policy keeps, and why. Pure: the time zone and what time it is are handed in.
//!
//! The rules are restic's. Snapshots are taken from the newest to the oldest. A count keeps the newest snapshot of each of
//! so many hours, days, weeks (ISO 8601), months or years of local time in which there is one; while it is not reached,
//! the oldest snapshot of all is kept as well, so that the history grows as long as it may. A duration goes back from the
//! newest snapshot, not from now: who makes no backups for a while loses none for that.
//!
//! A snapshot whose time lies ahead is kept and otherwise passed over: one made while a clock was wrong would else be the
//! newest for years, and push out all that are.

use std::collections::BTreeSet;
use std::fmt;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, Zoned};

use crate::format::snapshot::have_all_tags;

/// A snapshot's time may lie so far after its upload, or after now: clocks of machines differ, and zones are set wrong.
const AHEAD_MAX: SignedDuration = SignedDuration::from_hours(24);

/// What is kept; all that no rule speaks for is forgotten.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Each speaks for itself.
    pub rules: Vec<Rule>,
    /// Snapshots with one of these tags are kept; of several joined by `,` all must be there.
    pub tags: Vec<String>,
}

impl Policy {
    /// Whether nothing was said at all.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.tags.is_empty()
    }
}

/// Keeps the newest snapshot of each period, as far back as the limit goes.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Of which the newest snapshot is kept.
    pub period: Period,
    /// How far back.
    pub limit: Limit,
}

/// A stretch of local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// No stretch: every snapshot stands for itself.
    Each,
    /// An hour of the clock.
    Hour,
    /// A day.
    Day,
    /// A week from Monday on.
    Week,
    /// A month.
    Month,
    /// A year.
    Year,
}

/// How far back a rule goes.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// To so many periods in which there is a snapshot.
    Count(u32),
    /// To the beginning.
    Unlimited,
    /// So long before the newest snapshot; what is exactly as old is out.
    Within(Span),
}

/// What is known of a snapshot here.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// When its backup began, as its writer says.
    pub time: Timestamp,
    /// When it was put, by another clock than its writer's, if one tells.
    pub uploaded: Option<Timestamp>,
    /// Its tags.
    pub tags: &'a [String],
}

/// What becomes of a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Why it is kept; if nothing speaks for it, it is not.
    pub reasons: Vec<Reason>,
}

impl Verdict {
    /// Whether anything speaks for the snapshot.
    pub fn is_kept(&self) -> bool {
        !self.reasons.is_empty()
    }

    /// Whether the snapshot is kept because its time cannot be right.
    pub fn is_ahead(&self) -> bool {
        self.reasons.contains(&Reason::Ahead)
    }
}

/// Why a snapshot is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is the newest of its period.
    Newest(Period),
    /// It is the oldest of all, and fewer than wanted are kept.
    Oldest(Period),
    /// It is the newest of its period, and young enough. With the duration, as people write it.
    Within(Period, String),
    /// It has this tag.
    Tag(String),
    /// Its time lies over a day after its upload, or after now.
    Ahead,
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Each => "last",
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest(period) => write!(f, "{period} snapshot"),
            Self::Oldest(period) => write!(f, "oldest {period} snapshot"),
            Self::Within(Period::Each, span) => write!(f, "within {span}"),
            Self::Within(period, span) => write!(f, "{period} within {span}"),
            Self::Tag(tag) => write!(f, "tag {tag}"),
            Self::Ahead => f.write_str("its time lies ahead"),
        }
    }
}

/// Judges the snapshots of one group; the verdicts stand in the same order. Of two with the same time the later one in the
/// list counts as newer.
pub fn judge(policy: &Policy, group: &[Candidate<'_>], now: Timestamp, zone: &TimeZone) -> Vec<Verdict> {
    let mut verdicts = vec![Verdict::default(); group.len()];
    let mut counted = Vec::new();
    for (at, candidate) in group.iter().enumerate() {
        if is_ahead(candidate, now) {
            verdicts[at].reasons.push(Reason::Ahead);
        } else {
            let tags = policy.tags.iter().filter(|wanted| have_all_tags(candidate.tags, wanted));
            verdicts[at].reasons.extend(tags.cloned().map(Reason::Tag));
            counted.push((candidate.time.to_zoned(zone.clone()), at));
        }
    }
    counted.sort();
    counted.reverse();
    for rule in &policy.rules {
        for (at, reason) in kept_by(rule, &counted) {
            verdicts[at].reasons.push(reason);
        }
    }
    verdicts
}

fn is_ahead(candidate: &Candidate<'_>, now: Timestamp) -> bool {
    let seen = candidate.uploaded.unwrap_or(now);
    seen.checked_add(AHEAD_MAX).is_ok_and(|limit| candidate.time > limit)
}

/// The snapshots that a rule speaks for, of those that count, newest first with their place in the group.
fn kept_by(rule: &Rule, counted: &[(Zoned, usize)]) -> Vec<(usize, Reason)> {
    let (Some((newest, _)), Some((_, oldest))) = (counted.first(), counted.last()) else { return Vec::new() };
    let period = rule.period;
    let mut seen = BTreeSet::new();
    let newest_of_each = counted.iter().filter(|(time, at)| seen.insert(period.of(time, *at))).map(|(_, at)| *at);
    match rule.limit {
        Limit::Within(span) => {
            // A span beyond the calendar leaves nothing out.
            let since = newest.checked_sub(span).ok();
            let is_within = |time: &Zoned| since.as_ref().is_none_or(|since| time > since);
            let within = counted.iter().take_while(|(time, _)| is_within(time)).count();
            let young: BTreeSet<usize> = counted[..within].iter().map(|(_, at)| *at).collect();
            let reason = Reason::Within(period, format!("{span:#}"));
            newest_of_each.filter(|at| young.contains(at)).map(|at| (at, reason.clone())).collect()
        }
        Limit::Count(_) | Limit::Unlimited => {
            let limit = if let Limit::Count(count) = rule.limit { count as usize } else { usize::MAX };
            let newest: Vec<usize> = newest_of_each.take(limit).collect();
            let is_reached = newest.len() == limit || newest.contains(oldest);
            let oldest = (!is_reached).then_some((*oldest, Reason::Oldest(period)));
            newest.into_iter().map(|at| (at, Reason::Newest(period))).chain(oldest).collect()
        }
    }
}

impl Period {
    /// A number for the period that a time lies in. The hour that the clocks go through twice in autumn is one.
    fn of(self, time: &Zoned, at: usize) -> (i16, usize) {
        let number = |number: i8| usize::from(number.unsigned_abs());
        let day = usize::from(time.day_of_year().unsigned_abs());
        match self {
            Self::Each => (0, at),
            Self::Hour => (time.year(), day * 24 + number(time.hour())),
            Self::Day => (time.year(), day),
            Self::Week => {
                let week = time.date().iso_week_date();
                (week.year(), number(week.week()))
            }
            Self::Month => (time.year(), number(time.month())),
            Self::Year => (time.year(), 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ZONES: [&str; 4] = ["Europe/Berlin", "America/New_York", "Pacific/Apia", "UTC"];

    /// Days on which something is odd: clocks go forward or back in one of the zones, a year of weeks ends, and the day
    /// that Apia left out.
    const ODD_DAYS: [&str; 8] = [
        "2026-03-29T00:00:00Z",
        "2026-10-25T00:00:00Z",
        "2026-03-08T05:00:00Z",
        "2026-11-01T04:00:00Z",
        "2011-12-30T09:00:00Z",
        "2021-04-03T13:00:00Z",
        "2026-12-31T22:00:00Z",
        "2024-02-29T12:00:00Z",
    ];

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn rule(period: Period, limit: Limit) -> Policy {
        Policy { rules: vec![Rule { period, limit }], ..Policy::default() }
    }

    /// The places of the snapshots at these times that are kept, with the reasons.
    fn kept(policy: &Policy, times: &[&str], zone: &TimeZone) -> Vec<(usize, String)> {
        let times = times.iter().map(|text| Candidate { time: time(text), uploaded: None, tags: &[] });
        let verdicts = judge(policy, &times.collect::<Vec<_>>(), time("2027-01-01T00:00:00Z"), zone);
        let reasons = |verdict: &Verdict| verdict.reasons.iter().map(Reason::to_string).collect::<Vec<_>>().join(", ");
        let kept = verdicts.iter().enumerate().filter(|(_, verdict)| verdict.is_kept());
        kept.map(|(at, verdict)| (at, reasons(verdict))).collect()
    }

    fn named(pairs: &[(usize, &str)]) -> Vec<(usize, String)> {
        pairs.iter().map(|&(at, reason)| (at, reason.to_owned())).collect()
    }

    #[test]
    fn the_newest_of_each_day_is_kept_and_the_oldest_while_there_are_too_few() {
        let times = [
            "2026-11-01T08:00:00Z",
            "2026-11-01T09:00:00Z",
            "2026-11-02T22:30:00Z",
            "2026-11-02T23:30:00Z", // In Berlin the third already.
        ];
        let daily = |count| rule(Period::Day, Limit::Count(count));
        let all = [(0, "oldest daily snapshot"), (1, "daily snapshot"), (3, "daily snapshot")];
        assert_eq!(kept(&daily(3), &times, &zone("UTC")), named(&all));
        assert_eq!(kept(&daily(2), &times, &zone("UTC")), named(&all[1..]));
        assert_eq!(
            kept(&daily(3), &times, &zone("Europe/Berlin")),
            named(&[(1, "daily snapshot"), (2, "daily snapshot"), (3, "daily snapshot")])
        );
        let without_limit = rule(Period::Day, Limit::Unlimited);
        assert_eq!(kept(&without_limit, &times, &zone("UTC")), named(&all));
        assert_eq!(kept(&daily(0), &times, &zone("UTC")), []);
    }

    #[test]
    fn a_duration_goes_back_from_the_newest_by_the_calendar() {
        let times = ["2026-10-24T11:00:00Z", "2026-10-24T11:00:01Z", "2026-10-25T12:00:00Z"];
        // A day of 25 hours lies between.
        let within = rule(Period::Each, Limit::Within(Span::new().days(1)));
        assert_eq!(kept(&within, &times, &zone("Europe/Berlin")), named(&[(1, "within 1d"), (2, "within 1d")]));
        assert_eq!(kept(&within, &times, &zone("UTC")), named(&[(2, "within 1d")]));
        let weekly = rule(Period::Week, Limit::Within(Span::new().years(1)));
        assert_eq!(kept(&weekly, &times, &zone("UTC")), named(&[(2, "weekly within 1y")]));
        let beyond = rule(Period::Each, Limit::Within(Span::new().years(19_000)));
        assert_eq!(kept(&beyond, &times, &zone("UTC")).len(), 3);
    }

    #[test]
    fn the_hour_that_comes_twice_is_one_and_weeks_do_not_end_with_the_year() {
        let twice = ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"];
        let hourly = rule(Period::Hour, Limit::Count(1));
        assert_eq!(kept(&hourly, &twice, &zone("Europe/Berlin")), named(&[(1, "hourly snapshot")]));
        let hourly = rule(Period::Hour, Limit::Count(2));
        assert_eq!(kept(&hourly, &twice, &zone("Europe/Berlin"))[0], (0, "oldest hourly snapshot".to_owned()));
        assert_eq!(kept(&hourly, &twice, &zone("UTC"))[0], (0, "hourly snapshot".to_owned()));
        let new_year = ["2025-12-28T12:00:00Z", "2025-12-29T12:00:00Z", "2026-01-04T12:00:00Z"];
        let weekly = rule(Period::Week, Limit::Count(2));
        assert_eq!(kept(&weekly, &new_year, &zone("UTC")), named(&[(0, "weekly snapshot"), (2, "weekly snapshot")]));
    }

    #[test]
    fn what_lies_ahead_is_named_and_pushes_nothing_out() {
        let now = time("2026-11-20T00:00:00Z");
        let at = |text: &str, uploaded: Option<&str>| Candidate {
            time: time(text),
            uploaded: uploaded.map(time),
            tags: &[],
        };
        let group = [
            at("2026-11-10T00:00:00Z", Some("2026-11-10T01:00:00Z")),
            at("2026-11-21T00:00:00Z", None),
            at("2026-11-21T00:00:01Z", None),
            at("2026-11-15T00:00:00Z", Some("2026-11-13T23:59:59Z")),
        ];
        let policy = Policy {
            rules: vec![
                Rule { period: Period::Each, limit: Limit::Count(1) },
                Rule { period: Period::Each, limit: Limit::Within(Span::new().days(12)) },
            ],
            tags: Vec::new(),
        };
        let verdicts = judge(&policy, &group, now, &zone("UTC"));
        let texts = |at: usize| verdicts[at].reasons.iter().map(Reason::to_string).collect::<Vec<_>>();
        assert_eq!(texts(0), ["within 12d"]);
        assert_eq!(texts(1), ["last snapshot", "within 12d"]);
        assert_eq!(texts(2), ["its time lies ahead"]);
        assert_eq!(texts(3), ["its time lies ahead"]);
        assert!(verdicts[3].is_ahead() && !verdicts[1].is_ahead());
    }

    #[test]
    fn a_tag_keeps_and_several_must_all_be_there() {
        let tags = [vec!["a".to_owned()], vec!["a".to_owned(), "b".to_owned()], vec![]];
        let candidate = |tags| Candidate { time: Timestamp::UNIX_EPOCH, uploaded: None, tags };
        let group: Vec<_> = tags.iter().map(|tags: &Vec<String>| candidate(tags)).collect();
        let policy = Policy { rules: Vec::new(), tags: vec!["a,b".to_owned()] };
        let verdicts = judge(&policy, &group, Timestamp::UNIX_EPOCH, &TimeZone::UTC);
        assert_eq!(verdicts.iter().map(Verdict::is_kept).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!(verdicts[1].reasons[0].to_string(), "tag a,b");
    }

    /// One snapshot of a random history.
    #[derive(Clone, Debug)]
    struct Made {
        time: Timestamp,
        uploaded: Option<Timestamp>,
        tags: Vec<String>,
    }

    fn history() -> impl Strategy<Value = Vec<Made>> {
        let near_odd_days = (0..ODD_DAYS.len(), -50i64..50, 0i64..4).prop_map(|(day, halves, minutes)| {
            let seconds = halves * 1800 + minutes * 60;
            time(ODD_DAYS[day]).checked_add(SignedDuration::from_secs(seconds)).unwrap()
        });
        let anywhere = (1_300_000_000i64..1_800_000_000).prop_map(|secs| Timestamp::from_second(secs).unwrap());
        let on_days = (0i64..900).prop_map(|day| Timestamp::from_second(1_700_000_000 + day * 43_200).unwrap());
        let times = prop_oneof![near_odd_days, anywhere, on_days];
        let uploads = proptest::option::weighted(0.3, -40i64..40);
        let tags = proptest::sample::subsequence(vec!["a".to_owned(), "b".to_owned()], 0..=2);
        let made = (times, uploads, tags).prop_map(|(time, uploaded, tags)| {
            let uploaded = uploaded.map(|hours| time.checked_add(SignedDuration::from_hours(hours)).unwrap());
            Made { time, uploaded, tags }
        });
        proptest::collection::vec(made, 0..40)
    }

    fn policy() -> impl Strategy<Value = Policy> {
        use Period::{Day, Each, Hour, Month, Week, Year};
        let period = proptest::sample::select(vec![Each, Hour, Day, Week, Month, Year]);
        let limit = prop_oneof![
            4 => (0u32..12).prop_map(Limit::Count),
            1 => Just(Limit::Unlimited),
            1 => (0i64..72).prop_map(|hours| Limit::Within(Span::new().hours(hours))),
            1 => (0i64..60).prop_map(|days| Limit::Within(Span::new().days(days))),
            1 => (0i64..20).prop_map(|months| Limit::Within(Span::new().months(months))),
            1 => (0i64..20_000).prop_map(|years| Limit::Within(Span::new().years(years.min(19_000)))),
        ];
        let rules = proptest::collection::vec((period, limit).prop_map(|(period, limit)| Rule { period, limit }), 0..4);
        let tags = proptest::sample::subsequence(vec!["a".to_owned(), "a,b".to_owned()], 0..=2);
        (rules, tags).prop_map(|(rules, tags)| Policy { rules, tags })
    }

    /// Decides about each snapshot for itself, by a look at all others, with periods as texts.
    struct Brute<'a> {
        made: &'a [Made],
        now: Timestamp,
        zone: TimeZone,
    }

    impl Brute<'_> {
        fn is_ahead(&self, at: usize) -> bool {
            let made = &self.made[at];
            made.time.as_second() - made.uploaded.unwrap_or(self.now).as_second() > 86_400
        }

        fn counted(&self) -> Vec<usize> {
            (0..self.made.len()).filter(|&at| !self.is_ahead(at)).collect()
        }

        fn is_newer(&self, one: usize, other: usize) -> bool {
            (self.made[one].time, one) > (self.made[other].time, other)
        }

        fn period(&self, period: Period, at: usize) -> String {
            let format = match period {
                Period::Each => return at.to_string(),
                Period::Hour => "%Y-%m-%d %H",
                Period::Day => "%Y-%m-%d",
                Period::Week => "%G-%V",
                Period::Month => "%Y-%m",
                Period::Year => "%Y",
            };
            self.made[at].time.to_zoned(self.zone.clone()).strftime(format).to_string()
        }

        fn since(&self, span: &Span) -> Option<Timestamp> {
            let counted = self.counted();
            let newest = counted.into_iter().max_by_key(|&at| (self.made[at].time, at))?;
            let newest = self.made[newest].time;
            if span.get_hours() > 0 {
                return newest.checked_sub(SignedDuration::from_hours(span.get_hours().into())).ok();
            }
            let civil = self.zone.to_datetime(newest).checked_sub(*span).ok()?;
            if civil == self.zone.to_datetime(newest) { Some(newest) } else { self.zone.to_timestamp(civil).ok() }
        }

        fn reason(&self, rule: &Rule, at: usize) -> Option<String> {
            let counted = self.counted();
            let own = self.period(rule.period, at);
            let newer: Vec<usize> = counted.iter().copied().filter(|&other| self.is_newer(other, at)).collect();
            let newer_periods: BTreeSet<String> = newer.iter().map(|&other| self.period(rule.period, other)).collect();
            let is_newest = !newer_periods.contains(&own);
            let is_oldest = counted.iter().all(|&other| !self.is_newer(at, other));
            let name = rule.period;
            let count = match rule.limit {
                Limit::Within(span) => {
                    let is_young = self.since(&span).is_none_or(|since| self.made[at].time > since);
                    let text = match name {
                        Period::Each => format!("within {span:#}"),
                        _ => format!("{name} within {span:#}"),
                    };
                    return (is_newest && is_young).then_some(text);
                }
                Limit::Count(count) => count as usize,
                Limit::Unlimited => usize::MAX,
            };
            if newer_periods.len() >= count {
                None
            } else if is_newest {
                Some(format!("{name} snapshot"))
            } else {
                is_oldest.then(|| format!("oldest {name} snapshot"))
            }
        }

        fn reasons(&self, policy: &Policy, at: usize) -> Vec<String> {
            if self.is_ahead(at) {
                return vec!["its time lies ahead".to_owned()];
            }
            let has = |tag: &str| self.made[at].tags.iter().any(|own| own == tag);
            let tags = policy.tags.iter().filter(|wanted| match wanted.as_str() {
                "a,b" => has("a") && has("b"),
                tag => has(tag),
            });
            let rules = policy.rules.iter().filter_map(|rule| self.reason(rule, at));
            tags.map(|tag| format!("tag {tag}")).chain(rules).collect()
        }
    }

    proptest! {
        #![proptest_config(crate::rounds::cases(512))]

        #[test]
        fn a_look_at_each_snapshot_for_itself_gives_the_same(
            made in history(),
            policy in policy(),
            zone_name in proptest::sample::select(ZONES.to_vec()),
            now in 1_700_000_000i64..1_800_000_000,
        ) {
            let now = Timestamp::from_second(now).unwrap();
            let zone = zone(zone_name);
            let group: Vec<Candidate<'_>> = made
                .iter()
                .map(|made| Candidate { time: made.time, uploaded: made.uploaded, tags: &made.tags })
                .collect();
            let verdicts = judge(&policy, &group, now, &zone);
            let brute = Brute { made: &made, now, zone };
            for (at, verdict) in verdicts.iter().enumerate() {
                let reasons: Vec<String> = verdict.reasons.iter().map(Reason::to_string).collect();
                prop_assert_eq!(reasons, brute.reasons(&policy, at), "snapshot {} at {}", at, made[at].time);
            }
        }
    }
}
