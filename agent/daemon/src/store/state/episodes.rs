//! Episodes: compressed, and together below a size; known incidents stay longest.

use holdfast_core::detect::replay::Episode;
use holdfast_core::model::{FindingId, Interval, Says, Target, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use std::path::Path;

use super::super::error::{Context, StoreError};
use super::reader::StateReader;

/// All episodes together, compressed, in bytes. False positives go first, the oldest of them first.
pub const EPISODES_BYTES_MAX: u64 = 64 << 20;
/// One episode, as it is written, in bytes.
const EPISODE_BYTES_MAX: usize = 64 << 20;
const ZSTD_LEVEL: i32 = 3;

/// What an episode is about, without its samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpisodeHead {
    /// The labelled finding.
    pub finding: FindingId,
    /// What a person said of it.
    pub says: Says,
    /// Its kind.
    pub kind: String,
    /// About what.
    pub target: Target,
    /// Its title.
    pub title: String,
    /// When the symptom began.
    pub began_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// The first sample.
    pub from: Option<Timestamp>,
    /// The last one.
    pub until: Option<Timestamp>,
    /// The series, as printed.
    pub series: Vec<String>,
    /// Samples of all series.
    pub samples: u64,
    /// The longest step that a sample stands for, where they were made coarser for their age.
    pub resolution: Option<Interval>,
    /// What it takes, in bytes.
    #[serde(default)]
    pub bytes: u64,
}

impl EpisodeHead {
    fn of(it: &Episode) -> Self {
        let times = || it.series.iter().flat_map(|series| series.points().map(|(at, _)| at));
        Self {
            finding: it.finding.clone(),
            says: it.says,
            kind: it.kind.clone(),
            target: it.target.clone(),
            title: it.title.clone(),
            began_at: it.began_at,
            ended_at: it.ended_at,
            from: times().min(),
            until: times().max(),
            series: it.series.iter().map(|series| series.key.to_string()).collect(),
            samples: it.samples() as u64,
            resolution: it.resolution,
            bytes: 0,
        }
    }
}

fn unreadable(finding: &FindingId, source: serde_json::Error) -> StoreError {
    StoreError::Document { what: "episode", id: finding.to_string(), source }
}

/// Keeps an episode, or lets it go; then makes room.
pub(super) fn put(
    db: &Connection,
    path: &Path,
    finding: &FindingId,
    episode: Option<&Episode>,
    bytes_max: u64,
) -> Result<(), StoreError> {
    let Some(episode) = episode else {
        return db
            .execute("DELETE FROM episode WHERE finding = ?", [finding.as_str()])
            .during("delete an episode", path)
            .map(drop);
    };
    let head = serde_json::to_string(&EpisodeHead::of(episode)).map_err(|e| unreadable(finding, e))?;
    let text = serde_json::to_vec(episode).map_err(|e| unreadable(finding, e))?;
    let body = zstd::bulk::compress(&text, ZSTD_LEVEL).during("compress an episode for", path)?;
    db.execute(
        "INSERT OR REPLACE INTO episode (finding, at, incident, bytes, head, body) VALUES (?,?,?,?,?,?)",
        params![
            finding.as_str(),
            episode.began_at.ns(),
            episode.says == Says::TruePositive,
            body.len() as i64,
            head,
            body
        ],
    )
    .during("keep an episode", path)?;
    let over = "DELETE FROM episode WHERE finding IN (SELECT finding FROM (SELECT finding, \
                SUM(bytes) OVER (ORDER BY incident DESC, at DESC, finding ROWS UNBOUNDED PRECEDING) AS total FROM episode) \
                WHERE total > ?)";
    db.execute(over, [bytes_max as i64]).during("make room for an episode", path).map(drop)
}

impl StateReader {
    /// What is kept, the newest first.
    pub fn episodes(&self) -> Result<Vec<EpisodeHead>, StoreError> {
        let path = self.pool.path();
        self.pool.read("read episodes", |db| {
            let mut statement = db
                .prepare("SELECT finding, head, bytes FROM episode ORDER BY at DESC, finding")
                .during("read episodes", path)?;
            let rows = statement
                .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?)))
                .during("read episodes", path)?;
            let mut all = Vec::new();
            for row in rows {
                let (id, head, bytes) = row.during("read episodes", path)?;
                let head: EpisodeHead = serde_json::from_str(&head).map_err(|source| StoreError::Document {
                    what: "episode",
                    id,
                    source,
                })?;
                all.push(EpisodeHead { bytes: bytes as u64, ..head });
            }
            Ok(all)
        })
    }

    /// One episode with its samples.
    pub fn episode(&self, finding: &FindingId) -> Result<Option<Episode>, StoreError> {
        let path = self.pool.path();
        self.pool.read("read an episode", |db| {
            let body: Option<Vec<u8>> = db
                .query_row("SELECT body FROM episode WHERE finding = ?", [finding.as_str()], |row| row.get(0))
                .optional()
                .during("read an episode", path)?;
            let Some(body) = body else { return Ok(None) };
            let text = zstd::bulk::decompress(&body, EPISODE_BYTES_MAX).during("read an episode of", path)?;
            serde_json::from_slice(&text).map(Some).map_err(|source| unreadable(finding, source))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_core::detect::DetectConfig;
    use holdfast_core::detect::replay::EpisodeSeries;
    use holdfast_core::model::{MetricKind, SeededIds, SeriesKey};

    fn episode(at_s: i64, says: Says) -> Episode {
        let at = Timestamp::from_secs(at_s);
        let key = SeriesKey {
            metric: "m".into(),
            unit: "1".into(),
            kind: MetricKind::Gauge,
            attributes: std::collections::BTreeMap::new(),
        };
        let points: Vec<(Timestamp, f64)> =
            (0..100).map(|n| (at.plus(std::time::Duration::from_secs(n)), (n * 7_919 % 1_000) as f64)).collect();
        Episode {
            version: 1,
            finding: FindingId::new(at, &mut SeededIds(at_s as u64)),
            says,
            note: String::new(),
            kind: "metric.anomaly".into(),
            target: Target::series("m"),
            fingerprint: "x".into(),
            about: None,
            title: "m is odd".into(),
            began_at: at,
            ended_at: at,
            resolution: None,
            detect: DetectConfig::default(),
            series: vec![EpisodeSeries::new(key, &points)],
        }
    }

    fn opened() -> (tempfile::TempDir, StateReader, Connection) {
        let dir = tempfile::tempdir().unwrap();
        let key = holdfast_core::model::audit::AuditKey::new([1; 32]);
        drop(super::super::StateDb::open(dir.path(), key).unwrap());
        let db = Connection::open(dir.path().join("state.db")).unwrap();
        let reader = StateReader::open(dir.path()).unwrap();
        (dir, reader, db)
    }

    #[test]
    fn an_episode_comes_back_as_it_was_and_is_listed_without_its_samples() {
        let (dir, reader, db) = opened();
        let it = episode(1_000, Says::TruePositive);
        put(&db, dir.path(), &it.finding, Some(&it), EPISODES_BYTES_MAX).unwrap();
        assert_eq!(reader.episode(&it.finding).unwrap().as_ref(), Some(&it));
        let head = reader.episodes().unwrap().remove(0);
        assert_eq!((head.samples, head.series.as_slice()), (100, &["m".to_owned()][..]));
        assert_eq!((head.from, head.until), (Some(it.began_at), Some(Timestamp::from_secs(1_099))));
        assert!(head.bytes > 0 && head.bytes < 4_000, "{head:?}");
        put(&db, dir.path(), &it.finding, None, EPISODES_BYTES_MAX).unwrap();
        assert_eq!((reader.episodes().unwrap().len(), reader.episode(&it.finding).unwrap()), (0, None));
    }

    #[test]
    fn when_there_are_too_many_the_oldest_false_positives_go_first() {
        let (dir, reader, db) = opened();
        let all = [
            episode(1_000, Says::TruePositive),
            episode(2_000, Says::FalsePositive),
            episode(3_000, Says::FalsePositive),
        ];
        for it in &all {
            put(&db, dir.path(), &it.finding, Some(it), EPISODES_BYTES_MAX).unwrap();
        }
        let total: u64 = reader.episodes().unwrap().iter().map(|it| it.bytes).sum();
        let next = episode(4_000, Says::TruePositive);
        put(&db, dir.path(), &next.finding, Some(&next), total + 10).unwrap();
        let kept: Vec<FindingId> = reader.episodes().unwrap().into_iter().map(|it| it.finding).collect();
        assert_eq!(kept, [next.finding, all[2].finding.clone(), all[0].finding.clone()]);
    }
}
