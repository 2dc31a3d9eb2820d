//! What is kept how long, how far each tier and class reaches, and what goes next. Reads only; expiry and the making of room
//! follow the same rules.

use std::path::Path;
use std::time::Duration;

use holdfast_core::model::{Interval, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::super::error::{Context, StoreError};
use super::disk::Caps;
use super::reader::TelemetryReader;
use super::room::{self, DAY_NS, Victim};
use super::tiers::{self, HOURS, MINUTES, SAMPLES};
use super::{TelemetryOptions, seal};

const WHAT: &str = "read what is kept";

/// The whole of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionPlan {
    /// Bytes of the database in use, without its log.
    pub used_bytes: u64,
    /// From so many bytes on, room is made.
    pub room_from_bytes: u64,
    /// The size that is never exceeded, the log included.
    pub size_max_bytes: u64,
    /// What room would be made of now, dearest first: `samples`, `minutes`, `hours`, `changes`.
    pub room_of: Vec<String>,
    /// Finest first.
    pub tiers: Vec<TierPlan>,
    /// What is kept as single records: `changes`, and `gaps` of the ledger.
    pub records: Vec<RecordsPlan>,
}

/// One tier of samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierPlan {
    /// `samples`, `minutes` or `hours`.
    pub tier: String,
    /// The age that it reaches; `null`: a finer tier is kept as long, so there is none.
    pub kept_for: Option<Interval>,
    /// Stretches that are sealed.
    pub stretches: u64,
    /// Bytes of their columns, about.
    pub bytes: u64,
    /// The oldest moment that it tells of; `null`: none yet.
    pub from: Option<Timestamp>,
    /// The newest.
    pub until: Option<Timestamp>,
    /// What goes next for its age.
    pub next: Option<NextPlan>,
}

/// A stretch that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextPlan {
    /// Its first moment.
    pub from: Timestamp,
    /// Its last.
    pub until: Timestamp,
    /// Not before this moment.
    pub due: Timestamp,
    /// `minutes` or `hours`; `null`: it is deleted.
    pub becomes: Option<String>,
}

/// A class of records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordsPlan {
    /// `changes`, `gaps`, `findings`, ..
    pub class: String,
    /// The age that it reaches.
    pub kept_for: Interval,
    /// How many there are.
    pub count: u64,
    /// The oldest.
    pub from: Option<Timestamp>,
    /// When the oldest that may go is deleted, at the earliest.
    pub due: Option<Timestamp>,
}

/// As people call it.
fn name(tier: u8) -> &'static str {
    match tier {
        MINUTES => "minutes",
        HOURS => "hours",
        _ => "samples",
    }
}

/// The age at which a tier's stretches go; `None`: there is no such tier.
fn kept_for(tier: u8, options: &TelemetryOptions) -> Option<Duration> {
    match tier {
        MINUTES => (room::next_tier(SAMPLES, options) == Some(MINUTES)).then_some(options.minutes),
        HOURS => (room::next_tier(MINUTES, options) == Some(HOURS)).then_some(options.hours),
        _ => Some(options.retention),
    }
}

impl TelemetryReader {
    /// What is kept how long, and what goes next.
    pub fn retention(&self) -> Result<RetentionPlan, StoreError> {
        let path = self.pool.path();
        let options = &self.options;
        self.read(WHAT, |db| {
            let one = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).during(WHAT, path);
            let page_size = one("PRAGMA page_size")?.unsigned_abs();
            let used = (one("PRAGMA page_count")? - one("PRAGMA freelist_count")?).unsigned_abs();
            let caps = Caps::of(options.size_max_bytes, page_size);
            let order = room::order(db, path, caps.pages * page_size)?;
            let mut room_of: Vec<String> = Vec::new();
            for victim in order {
                let (word, there) = match victim {
                    Victim::Changes => ("changes", one("SELECT EXISTS (SELECT 1 FROM change)")? > 0),
                    Victim::Tier(tier) => {
                        let sql = "SELECT EXISTS (SELECT 1 FROM segment WHERE tier = ?)";
                        (name(tier), db.query_row(sql, [tier], |row| row.get(0)).during(WHAT, path)?)
                    }
                };
                if there && !room_of.iter().any(|it| it == word) {
                    room_of.push(word.to_owned());
                }
            }
            let tiers = [SAMPLES, MINUTES, HOURS].map(|tier| tier_plan(db, path, tier, options));
            let records =
                [("changes", "change"), ("gaps", "gap")].map(|it| records_plan(db, path, it, options.changes));
            Ok(RetentionPlan {
                used_bytes: used * page_size,
                room_from_bytes: room::goal(caps.pages) * page_size,
                size_max_bytes: caps.size,
                room_of,
                tiers: tiers.into_iter().collect::<Result<_, _>>()?,
                records: records.into_iter().collect::<Result<_, _>>()?,
            })
        })
    }
}

fn tier_plan(db: &Connection, path: &Path, tier: u8, options: &TelemetryOptions) -> Result<TierPlan, StoreError> {
    let sql = "SELECT count(*), min(first_at), max(last_at) FROM segment WHERE tier = ?";
    let (stretches, mut from, mut until): (i64, Option<i64>, Option<i64>) =
        db.query_row(sql, [tier], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).during(WHAT, path)?;
    if tier == SAMPLES {
        seal::newest(db, path, |_, at, _| {
            from = Some(from.map_or(at, |it| it.min(at)));
            until = Some(until.map_or(at, |it| it.max(at)));
        })?;
    }
    let kept = kept_for(tier, options);
    let sql = "SELECT first_at, last_at FROM segment WHERE tier = ? ORDER BY last_seq LIMIT 1";
    let oldest: Option<(i64, i64)> =
        db.query_row(sql, params![tier], |row| Ok((row.get(0)?, row.get(1)?))).optional().during(WHAT, path)?;
    let next = oldest.map(|(first, last)| {
        // What a tier that is none any more still holds goes with the age of the finer one.
        let age = match tier {
            MINUTES => options.minutes.max(options.retention),
            HOURS => options.hours.max(options.minutes).max(options.retention),
            _ => options.retention,
        };
        // Minutes go by whole days.
        let last = if tier == MINUTES { tiers::start_of(last, DAY_NS).saturating_add(DAY_NS) } else { last };
        NextPlan {
            from: Timestamp::from_ns(first),
            until: Timestamp::from_ns(oldest.map_or(first, |it| it.1)),
            due: Timestamp::from_ns(last).plus(age),
            becomes: room::next_tier(tier, options).map(|next| name(next).to_owned()),
        }
    });
    Ok(TierPlan {
        tier: name(tier).to_owned(),
        kept_for: kept.map(Interval),
        stretches: stretches.unsigned_abs(),
        bytes: room::bytes_of(db, path, tier)?,
        from: from.map(Timestamp::from_ns),
        until: until.map(Timestamp::from_ns),
        next,
    })
}

fn records_plan(
    db: &Connection,
    path: &Path,
    (class, table): (&str, &str),
    kept: Duration,
) -> Result<RecordsPlan, StoreError> {
    let sql = format!("SELECT count(*), min(at) FROM {table}");
    let (count, from): (i64, Option<i64>) =
        db.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?))).during(WHAT, path)?;
    let from = from.map(Timestamp::from_ns);
    Ok(RecordsPlan {
        class: class.to_owned(),
        kept_for: Interval(kept),
        count: count.unsigned_abs(),
        from,
        due: from.map(|at| at.plus(kept)),
    })
}
