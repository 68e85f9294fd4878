//! Benches of look-ups, W-REG: a tool by its name and a session by its id, among 10,000 each.
//!
//! A batch looks up every entry once, in an order drawn beforehand that is the same in each batch.
//! Not in the numbers:
//! - `registry/*_random`: look-ups that wait for each other. Nothing here waits for an checksum, so
//!   the core works on several at once, and the entries stay in its second-level cache.
//!   `registry/sessions_10000_random` reads the id's text, finds the session and marks it as the
//!   last one used, as each request of a session does.
//! - `registry/through_a_lane`: the time of one round trip. One core sends names in
//!   batches of 256 and waits for all answers; the other looks them up. One operation is a name
//!   that was sent, found and answered.

use super::bench::Bench;
use super::bencher::Bencher;
use super::checksum::Checksum;
use super::corpus;
use super::lanes::{BATCH_MAX, EndOnDrop, LIMITS, SpinWait, pin};
use corelane::measure::{SessionTable, ToolCatalog, ToolPlan};
use corelane_io::lanes::{LaneReceiver, LaneSender, Mesh, Tier};
use crossbeam::utils::CachePadded;
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;
use std::thread;

/// Tools and sessions to choose from.
const ENTRIES: u32 = 10_000;

/// The benches of this module.
pub(super) const BENCHES: &[Bench] = &[
    bench("registry/tools_10000_random", 1, tools),
    bench("registry/sessions_10000_random", 1, sessions),
    bench("registry/through_a_lane", 2, through_a_lane),
];

const fn bench(name: &'static str, cores: usize, perform: fn(&mut Bencher)) -> Bench {
    Bench {
        name,
        operations: ENTRIES,
        cores,
        reference: |operations| {
            let requested = corpus::shuffled(ENTRIES)
                .into_iter()
                .take(operations as usize);
            Checksum::of(requested.map(u64::from))
        },
        perform,
    }
}

/// Words that the names of tools are made of.
const SERVICES: &str = "git crm mail jira drive slack files calendar billing postgres";
const VERBS: &str = "\
    get add put tag list find send move copy read close watch merge create update delete \
    search export import archive";
const OBJECTS: &str = "\
    a row job key log tag bot file user team note page task repo role rule plan event issue \
    label table query order index draft group quota token commit branch folder ticket column \
    sprint member report thread invoice contact message channel release payment comment \
    webhook reaction reminder workflow pull_request subscription";

/// Longest of the names in bytes; the shortest has 8, as the lists are made.
const NAME_BYTES_MAX: usize = 30;

/// Names as tools have them, by number.
fn tool_names() -> Vec<String> {
    let mut names = Vec::with_capacity(ENTRIES as usize);
    for service in SERVICES.split_ascii_whitespace() {
        for verb in VERBS.split_ascii_whitespace() {
            for object in OBJECTS.split_ascii_whitespace() {
                names.push(format!("{service}_{verb}_{object}"));
            }
        }
    }
    names
}

/// Checking 10,000 schemas takes longer than measuring, so it is done once.
static PLAN: LazyLock<ToolPlan> =
    LazyLock::new(|| ToolPlan::new(tool_names().iter().map(String::as_str)));

/// Every name once, in the random order.
fn shuffled_names() -> Vec<String> {
    let names = tool_names();
    let order = corpus::shuffled(ENTRIES).into_iter();
    order.map(|number| names[number as usize].clone()).collect()
}

/// The number of the tool called `name`, or one that no tool has.
fn number_of(catalog: &ToolCatalog, name: &str) -> u64 {
    catalog
        .place_of(name)
        .map_or(u64::MAX, |place| place as u64)
}

fn tools(bencher: &mut Bencher) {
    let catalog = PLAN.catalog();
    let requested = shuffled_names();
    bencher.batches(|operations, checksum| {
        for name in &requested[..operations as usize] {
            checksum.word(number_of(&catalog, name));
        }
    });
}

/// An id, and the number of its session.
struct LookedUpSession {
    id: [u8; 36],
    number: u32,
    random_bits: u32,
}

fn sessions(bencher: &mut Bencher) {
    let (mut table, ids) = SessionTable::holding(ENTRIES as usize);
    let requested = corpus::shuffled(ENTRIES).into_iter().map(|number| {
        let id = ids[number as usize];
        LookedUpSession {
            id,
            number,
            random_bits: table.touch(&id).expect("the table holds it"),
        }
    });
    let requested: Vec<LookedUpSession> = requested.collect();
    bencher.batches(|operations, checksum| {
        for requested in &requested[..operations as usize] {
            let is_found = table.touch(&requested.id) == Some(requested.random_bits);
            checksum.word(if is_found {
                requested.number.into()
            } else {
                u64::MAX
            });
        }
    });
}

/// A message through the lanes.
#[derive(Debug)]
enum Message {
    /// A tool's name, by its bytes.
    Question {
        name: [u8; NAME_BYTES_MAX],
        name_bytes: u8,
    },
    /// Its number.
    Checksum(u64),
}

impl Message {
    fn look_up_of(text: &str) -> Message {
        let mut name = [0; NAME_BYTES_MAX];
        name[..text.len()].copy_from_slice(text.as_bytes());
        let name_bytes = text.len() as u8;
        Message::Question { name, name_bytes }
    }
}

fn through_a_lane(bencher: &mut Bencher) {
    let mut mesh: Mesh<Message> = Mesh::new(2, 0, LIMITS);
    let (far_sender, far_receiver) = (mesh.senders.remove(1), mesh.receivers.remove(1));
    let (mut sender, mut receiver) = (mesh.senders.remove(0), mesh.receivers.remove(0));
    let requested = shuffled_names();
    let partner_core = bencher.partner_core();
    let ended = CachePadded::new(AtomicBool::new(false));
    thread::scope(|scope| {
        let _end = EndOnDrop::new(&ended);
        scope.spawn(|| {
            let _end = EndOnDrop::new(&ended);
            pin(partner_core);
            look_up_for_others(&ended, far_sender, far_receiver);
        });
        bencher.batches(|operations, checksum| {
            let mut spin_wait = SpinWait::new(&ended);
            for names in requested[..operations as usize].chunks(BATCH_MAX) {
                for name in names {
                    let sent = sender.send(1, Tier::Request, Message::look_up_of(name));
                    sent.expect("a batch is what the lane holds");
                }
                sender.flush(|_| {});
                let mut missing = names.len();
                while missing > 0 {
                    let handled = receiver.drain(BATCH_MAX, |_, _, message| {
                        if let Message::Checksum(number) = message {
                            checksum.word(number);
                        }
                    });
                    missing -= handled;
                    if handled == 0 && !spin_wait.wait() {
                        return;
                    }
                }
            }
        });
    });
}

/// Answers questions from a catalog of this thread's own.
fn look_up_for_others(
    ended: &AtomicBool,
    mut sender: LaneSender<Message>,
    mut receiver: LaneReceiver<Message>,
) {
    let catalog = PLAN.catalog();
    let mut spin_wait = SpinWait::new(ended);
    loop {
        let handled = receiver.drain(BATCH_MAX, |from, _, message| {
            let Message::Question { name, name_bytes } = message else {
                return;
            };
            let name = str::from_utf8(&name[..usize::from(name_bytes)]);
            let number = number_of(&catalog, name.expect("names are text"));
            let sent = sender.send(from, Tier::Reply, Message::Checksum(number));
            sent.expect("there are no more answers under way than questions");
        });
        if handled > 0 {
            sender.flush(|_| {});
        } else if !spin_wait.wait() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ENTRIES, NAME_BYTES_MAX, tool_names};

    #[test]
    fn names_are_as_long_as_tools_have_them() {
        let lengths: Vec<usize> = tool_names().iter().map(String::len).collect();
        assert_eq!(lengths.len(), ENTRIES as usize);
        assert!(
            lengths
                .iter()
                .all(|bytes| (8..=NAME_BYTES_MAX).contains(bytes))
        );
    }
}
