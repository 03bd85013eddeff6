//! What the spool's files go through: torn tails, flipped bytes, rotation, limits, locks.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use router_core::attempt::Outcome;
use router_core::record::{LedgerRecord, OpenRecord};

use super::reader::{Reader, Reading, Scratch};
use super::{Durability, Place, Spool, SpoolOptions, list};
use crate::ErrorKind;
use crate::suite::{any_record, close, open, request};

fn small(segment_bytes: u64) -> SpoolOptions {
    SpoolOptions { segment_bytes, ..SpoolOptions::default() }
}

fn spool(root: &Path, options: SpoolOptions) -> Spool {
    Spool::open(root, "one", options).unwrap()
}

fn only_file(spool: &Spool) -> PathBuf {
    let [(_, _, path)] = &list(spool.dir()).unwrap()[..] else { panic!("one file expected") };
    path.clone()
}

/// Everything a dead series 0 of these files gives, and the sum of what its reads found.
fn read_dead(dir: &Path) -> (Vec<LedgerRecord>, Reading) {
    let files = list(dir).unwrap();
    let (_, file, path) = files.last().unwrap();
    let end = Place { file: *file, offset: path.metadata().unwrap().len() };
    read_all(&mut Reader::dead(dir, "one", (0, Place::START)), end)
}

fn read_all(reader: &mut Reader, end: Place) -> (Vec<LedgerRecord>, Reading) {
    let (mut records, mut sum, mut scratch) = (Vec::new(), Reading::default(), Scratch::default());
    loop {
        let now = reader.read(end, &mut scratch, &mut |record| records.push(record)).unwrap();
        sum.bytes += now.bytes;
        sum.damaged += now.damaged;
        sum.torn_bytes += now.torn_bytes;
        sum.unreadable = now.unreadable;
        if now.at_end || now.unreadable.is_some() {
            return (records, sum);
        }
    }
}

#[test]
fn records_that_belong_together_are_in_it_together_or_not_at_all() {
    let root = tempfile::tempdir().unwrap();
    let spool = spool(root.path(), SpoolOptions::default());
    let segment = spool.segment(0).unwrap();
    segment.append_all(&some_records()).unwrap();
    let before = spool.bytes();
    let LedgerRecord::Open(huge) = open(3, 1) else { unreachable!("made so") };
    let huge = LedgerRecord::Open(OpenRecord { tags: vec!["x".repeat(4_096).into(); 32], ..huge });
    let refused = segment.append_all(&[close(2, 1, Outcome::Success, 1), huge]).unwrap_err();
    assert_eq!((refused.kind(), spool.bytes()), (ErrorKind::Invalid, before));
    segment.append(&close(2, 1, Outcome::Success, 2)).unwrap();
    let (read, _) = read_dead(spool.dir());
    assert_eq!(read, [some_records(), vec![close(2, 1, Outcome::Success, 2)]].concat());
}

fn some_records() -> Vec<LedgerRecord> {
    vec![open(1, 1), close(1, 1, Outcome::Success, 5), request(1, 3, "success"), open(2, 1)]
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_and_the_rest_kept() {
    let root = tempfile::tempdir().unwrap();
    let spool = spool(root.path(), SpoolOptions::default());
    let segment = spool.segment(0).unwrap();
    let records = some_records();
    let mut ends = vec![0];
    for record in &records {
        segment.append(record).unwrap();
        ends.push(spool.bytes());
    }
    let path = only_file(&spool);
    let whole = fs::read(&path).unwrap();
    assert_eq!(whole.len() as u64, spool.bytes());
    for len in 0..=whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        let kept = ends.iter().rposition(|end| *end <= len as u64).unwrap();
        let (read, found) = read_dead(spool.dir());
        assert_eq!(read, records[..kept], "cut to {len}");
        assert_eq!((found.damaged, found.torn_bytes), (0, len as u64 - ends[kept]), "cut to {len}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Only the record whose bytes are damaged is missing, wherever the chunks and files end.
    #[test]
    fn damage_costs_the_records_it_touches_and_no_other(
        records in prop::collection::vec(any_record(), 1..40),
        segment_bytes in 100u64..4_000,
        hits in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4),
    ) {
        let root = tempfile::tempdir().unwrap();
        let spool = spool(root.path(), small(segment_bytes));
        let segment = spool.segment(0).unwrap();
        let mut places = Vec::new();
        for record in &records {
            let before = spool.bytes();
            segment.append(record).unwrap();
            let (file, end) = (spool.ends()[0].1.file, spool.ends()[0].1.offset);
            places.push((file, end - (spool.bytes() - before), end));
        }
        let files = list(spool.dir()).unwrap();
        let bytes = |file: u32| fs::read(&files.iter().find(|(_, f, _)| *f == file).unwrap().2).unwrap();
        let of = |(file, from, to): &(u32, u64, u64)| bytes(*file)[*from as usize..*to as usize].to_vec();
        let before: Vec<_> = places.iter().map(of).collect();
        for (at, flip) in hits {
            let (_, file, path) = &files[at.index(files.len())];
            let mut bytes = bytes(*file);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            fs::write(path, bytes).unwrap();
        }
        let whole = places.iter().map(of).zip(before).map(|(now, before)| now == before);
        let kept: Vec<_> = records.iter().zip(whole).filter(|(_, whole)| *whole).map(|(r, _)| r.clone()).collect();
        let (read, found) = read_dead(spool.dir());
        prop_assert_eq!(found.damaged + u64::from(found.torn_bytes > 0) > 0, kept.len() < records.len());
        prop_assert_eq!(read, kept);
    }

    #[test]
    fn no_bytes_make_the_reader_fail(bytes in prop::collection::vec(any::<u8>(), 0..3_000)) {
        let root = tempfile::tempdir().unwrap();
        let spool = spool(root.path(), SpoolOptions::default());
        spool.segment(0).unwrap();
        fs::write(only_file(&spool), &bytes).unwrap();
        let (read, found) = read_dead(spool.dir());
        prop_assert_eq!((read.len(), found.bytes), (0, bytes.len() as u64));
    }
}

#[test]
fn damage_longer_than_a_chunk_is_one_stretch() {
    let root = tempfile::tempdir().unwrap();
    let spool = spool(root.path(), SpoolOptions::default());
    let segment = spool.segment(0).unwrap();
    segment.append(&open(1, 1)).unwrap();
    let path = only_file(&spool);
    let first = fs::read(&path).unwrap();
    let mut bytes = first.clone();
    // Bytes that read as plausible lengths, so that every one of them has to be tried.
    bytes.extend([0x10, 0x27, 0, 0].repeat(200_000));
    bytes.extend(&first);
    fs::write(&path, bytes).unwrap();
    let (read, found) = read_dead(spool.dir());
    assert_eq!((read, found.damaged, found.torn_bytes), (vec![open(1, 1), open(1, 1)], 1, 0));
}

#[test]
fn a_live_series_is_read_to_its_end_and_its_passed_files_are_deleted() {
    let root = tempfile::tempdir().unwrap();
    let spool = spool(root.path(), small(200));
    let segment = spool.segment(0).unwrap();
    let mut reader = Reader::live(spool.dir(), "one", 0);
    let mut seen = Vec::new();
    for id in 1..=20 {
        segment.append(&open(id, 1)).unwrap();
        if id % 3 == 0 {
            seen.extend(read_all(&mut reader, spool.ends()[0].1).0);
            reader.forget_passed().unwrap();
            assert!(list(spool.dir()).unwrap().iter().all(|(_, file, _)| *file >= reader.at().file));
        }
    }
    seen.extend(read_all(&mut reader, spool.ends()[0].1).0);
    assert_eq!(seen, (1..=20).map(|id| open(id, 1)).collect::<Vec<_>>());
    reader.forget_passed().unwrap();
    assert_eq!(list(spool.dir()).unwrap().len(), 1);
}

#[test]
fn a_frame_of_a_newer_build_stops_the_reader() {
    let root = tempfile::tempdir().unwrap();
    let spool = spool(root.path(), SpoolOptions::default());
    let segment = spool.segment(0).unwrap();
    segment.append(&open(1, 1)).unwrap();
    let path = only_file(&spool);
    let first = fs::read(&path).unwrap();
    let mut newer = first.clone();
    newer[8] = 99;
    let seed = super::frame::seed("one", path.file_name().unwrap().to_str().unwrap());
    let sum = crc32c::crc32c_append(crc32c::crc32c_append(seed, &newer[..4]), &newer[8..]);
    newer[4..8].copy_from_slice(&sum.to_le_bytes());
    fs::write(&path, [first.clone(), newer, first.clone()].concat()).unwrap();
    let (read, found) = read_dead(spool.dir());
    assert_eq!((read.len(), found.bytes), (1, first.len() as u64));
    assert_eq!(found.unreadable.unwrap().version, 99);
}

#[test]
fn a_full_spool_refuses_opens_and_still_takes_what_ends_them() {
    let root = tempfile::tempdir().unwrap();
    let spool = spool(root.path(), SpoolOptions { max_bytes: 300, ..SpoolOptions::default() });
    let segment = spool.segment(0).unwrap();
    let mut opened = 0;
    let refused = loop {
        match segment.append(&open(opened, 1)) {
            Ok(()) => opened += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::Full);
    assert!(opened > 0 && spool.bytes() <= 300);
    segment.append(&close(0, 1, Outcome::Success, 1)).unwrap();
    segment.append(&request(0, 1, "success")).unwrap();
    spool.consumed(spool.bytes());
    segment.append(&open(99, 1)).unwrap();
}

#[test]
fn a_closed_spool_takes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let spool = spool(root.path(), SpoolOptions { durability: Durability::Power, ..SpoolOptions::default() });
    let segment = spool.segment(0).unwrap();
    segment.append(&open(1, 1)).unwrap();
    spool.close();
    assert_eq!(segment.append(&open(2, 1)).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(spool.segment(1).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn a_thread_number_has_one_series() {
    let root = tempfile::tempdir().unwrap();
    let spool = spool(root.path(), SpoolOptions::default());
    for segment in [spool.segment(3).unwrap(), spool.segment(3).unwrap()] {
        segment.append(&open(1, 1)).unwrap();
    }
    assert_eq!(list(spool.dir()).unwrap().len(), 1);
    assert_eq!(spool.ends()[0].1.offset, spool.bytes());
}

#[test]
fn only_the_dead_are_claimed_and_by_one_alone() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| Spool::open(root.path(), name, SpoolOptions::default()).unwrap();
    let (dead, living, me, other) = (at("dead"), at("living"), at("me"), at("other"));
    let segment = dead.segment(0).unwrap();
    drop(dead);
    assert!(me.claim_dead().unwrap().is_empty(), "a segment keeps its directory locked");
    drop(segment);
    let claims = me.claim_dead().unwrap();
    let names: Vec<_> = claims.iter().map(|claim| claim.instance.as_str()).collect();
    assert_eq!(names, ["dead"]);
    assert!(other.claim_dead().unwrap().is_empty());
    me.remove(&claims[0].dir).unwrap();
    drop((claims, living));
    let names: Vec<_> = other.claim_dead().unwrap().into_iter().map(|claim| claim.instance).collect();
    assert_eq!(names, ["living"]);
}

#[test]
fn a_name_that_is_unfit_or_taken_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let open = |name: &str| Spool::open(root.path(), name, SpoolOptions::default());
    let taken = open("a").unwrap();
    for name in ["", "..", "a/b", ".lock", "a b", &"x".repeat(65), "a"] {
        assert_eq!(open(name).unwrap_err().kind(), ErrorKind::Invalid, "{name:?}");
    }
    drop(taken);
    assert_eq!(open("a").unwrap_err().kind(), ErrorKind::Invalid, "a dead process's records are not ours");
}
