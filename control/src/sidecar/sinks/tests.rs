//! Bounds of sinks: what does not fit is counted, and nobody waits.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use super::*;

fn goals(goal: Goal) -> Goals {
    [("a".into(), goal)].into()
}

#[tokio::test]
async fn lines_reach_their_files_and_the_log_only_what_is_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let sinks = Sinks::new(folder.path().to_owned(), Origin::default(), None);
    let both: Goals =
        [("a".into(), Goal::File("a.jsonl".into())), ("b".into(), Goal::File("b.jsonl".into()))].into();
    assert!(!sinks.hand_on(&both, "{1}"));
    let mut with_log = goals(Goal::File("a.jsonl".into()));
    with_log.insert("stdout".into(), Goal::Stdout);
    assert!(sinks.hand_on(&with_log, "{2}"));
    assert!(sinks.hand_on(&Goals::new(), "{3}"));
    let counts = sinks.counts();
    sinks.close().await;
    assert_eq!(std::fs::read_to_string(folder.path().join("a.jsonl")).unwrap(), "{1}\n{2}\n");
    assert_eq!(std::fs::read_to_string(folder.path().join("b.jsonl")).unwrap(), "{1}\n");
    let text = metrics(&counts);
    assert!(
        text.contains("chancery_sink_lines_total{sink=\"file:a.jsonl\",outcome=\"written\"} 2\n"),
        "{text}"
    );
    assert!(text.contains("chancery_sink_waiting_bytes{sink=\"file:b.jsonl\"} 0\n"), "{text}");
}

#[tokio::test]
async fn a_receiver_that_hangs_costs_a_bounded_queue_and_the_lines_beyond_it() {
    let folder = tempfile::tempdir().unwrap();
    // It takes connections, and says nothing.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let sinks = Sinks::new(folder.path().to_owned(), Origin::default(), None);
    let goals = goals(Goal::Otlp(address.as_str().into()));
    let line = format!("{{\"x\":\"{}\"}}", "x".repeat(4_000));
    let (handed, before) = (3 * BYTES_MAX / line.len(), Instant::now());
    for _ in 0..handed {
        assert!(!sinks.hand_on(&goals, &line));
    }
    assert!(before.elapsed() < Duration::from_secs(30));
    let counts = sinks.counts().into_values().next().unwrap();
    let fit = BYTES_MAX / line.len();
    let dropped = usize::try_from(counts.lines_dropped()).unwrap();
    assert!((handed - 2 * fit..=handed - fit).contains(&dropped), "{dropped} of {handed}");
    assert_eq!(counts.lines_written(), 0);
    sinks.close().await;
}

#[tokio::test]
async fn only_so_many_sinks_are_open() {
    let folder = tempfile::tempdir().unwrap();
    let sinks = Sinks::new(folder.path().to_owned(), Origin::default(), None);
    for number in 0..2 * OPEN_MAX {
        sinks.hand_on(&goals(Goal::File(format!("{number}.jsonl").into())), "{}");
    }
    assert_eq!(sinks.counts().len(), OPEN_MAX);
    sinks.close().await;
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2 * OPEN_MAX);
}
