//! What becomes of lines when the one who reads them does not.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use super::*;
use std::sync::mpsc;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a target does with a write, as the test says it.
enum Step {
    Take,
    TakeBytes(usize),
    Fail(ErrorKind),
}

/// A target that waits for the test before each write, and keeps what it took.
struct Target {
    steps: mpsc::Receiver<Step>,
    text: Arc<Mutex<String>>,
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A test that says nothing more lets everything through.
        let count = match self.steps.recv().unwrap_or(Step::Take) {
            Step::Take => bytes.len(),
            Step::TakeBytes(count) => count.min(bytes.len()),
            Step::Fail(kind) => return Err(kind.into()),
        };
        let taken = String::from_utf8_lossy(bytes.get(..count).unwrap()).into_owned();
        self.text.lock().unwrap().push_str(&taken);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Bench {
    queue: Queue,
    steps: mpsc::Sender<Step>,
    text: Arc<Mutex<String>>,
}

impl Bench {
    fn new() -> Self {
        let (steps, receiver) = mpsc::channel();
        let text = Arc::<Mutex<String>>::default();
        let notice = Arc::<Mutex<Option<Queue>>>::default();
        let sayer = notice.clone();
        let say = move |lost| {
            let queue = sayer.lock().unwrap().clone();
            queue.unwrap().offer(format!("lost {lost}\n").as_bytes());
        };
        let queue = Queue::start(Target { steps: receiver, text: text.clone() }, say).unwrap();
        *notice.lock().unwrap() = Some(queue.clone());
        Self { queue, steps, text }
    }

    /// Lets everything through from now on; what the target has then.
    fn finish(self) -> String {
        drop(self.steps);
        self.queue.until_written(PATIENCE);
        self.text.lock().unwrap().clone()
    }
}

#[test]
fn lines_come_in_their_order() {
    let bench = Bench::new();
    for line in ["a\n", "b\n", "c\n"] {
        bench.queue.offer(line.as_bytes());
    }
    assert_eq!(bench.finish(), "a\nb\nc\n");
}

#[test]
fn a_reader_that_does_not_read_costs_lines_and_no_time_and_is_told_how_many() {
    let bench = Bench::new();
    let line = vec![b'x'; BYTES_WAITING_MAX / 8];
    let begun = Instant::now();
    for _ in 0..100 {
        bench.queue.offer(&line);
    }
    bench.queue.until_written(Duration::from_millis(50));
    assert!(begun.elapsed() < PATIENCE);
    assert!(bench.queue.shared.lock().bytes <= BYTES_WAITING_MAX);
    let text = bench.finish();
    let kept = text.matches('x').count() / line.len();
    assert!((7..=8).contains(&kept), "{kept}");
    assert!(text.contains(&format!("lost {}\n", 100 - kept)), "{}", text.trim_matches('x'));
}

#[test]
fn what_cannot_be_written_is_counted_and_a_torn_line_is_ended() {
    let bench = Bench::new();
    for step in [
        Step::Take,
        Step::TakeBytes(2),
        Step::Fail(ErrorKind::StorageFull),
        Step::Fail(ErrorKind::BrokenPipe),
        Step::Fail(ErrorKind::WouldBlock),
        Step::Fail(ErrorKind::Interrupted),
    ] {
        bench.steps.send(step).unwrap();
    }
    for line in ["first\n", "second\n", "third\n", "fourth\n"] {
        bench.queue.offer(line.as_bytes());
    }
    assert_eq!(bench.finish(), "first\nse\nfourth\nlost 2\n");
}

#[test]
fn a_flood_of_empty_lines_is_bounded() {
    let bench = Bench::new();
    for _ in 0..2 * BYTES_WAITING_MAX / LINE_OVERHEAD_BYTES {
        bench.queue.offer(b"\n");
    }
    assert!(bench.queue.shared.lock().lines.len() <= BYTES_WAITING_MAX / LINE_OVERHEAD_BYTES);
}
