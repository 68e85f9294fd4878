//! The window of sequences of one sender: refuses frames that came before.

use crate::settings::WINDOW_FRAMES;

const WORDS: usize = (WINDOW_FRAMES / 64) as usize;

/// Sequences that were seen. Anything older than the window counts as seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    highest: u64,
    seen: [u64; WORDS],
}

impl Window {
    /// Marks a sequence; false if it was seen before or is too old to know.
    pub(crate) fn accept(&mut self, sequence: u64) -> bool {
        if sequence > self.highest {
            let ahead = (sequence - self.highest).min(WINDOW_FRAMES);
            for step in 1..=ahead {
                let (word, bit) = place(self.highest + step);
                self.seen[word] &= !bit;
            }
            if ahead == WINDOW_FRAMES {
                self.seen = [0; WORDS];
            }
            self.highest = sequence;
        } else if self.highest - sequence >= WINDOW_FRAMES {
            return false;
        }
        let (word, bit) = place(sequence);
        let is_new = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        is_new
    }
}

fn place(sequence: u64) -> (usize, u64) {
    let at = sequence % WINDOW_FRAMES;
    ((at / 64) as usize, 1 << (at % 64))
}

#[cfg(test)]
mod tests {
    use super::{WINDOW_FRAMES, Window};

    #[test]
    fn refuses_seen_and_old_sequences() {
        let mut window = Window::default();
        let far = WINDOW_FRAMES * 3;
        let cases = [
            (1, true),
            (1, false),
            (5, true),
            (3, true),
            (3, false),
            (far, true),
            (far - WINDOW_FRAMES, false),
            (far - WINDOW_FRAMES + 1, true),
            (far - WINDOW_FRAMES + 1, false),
            (far + 1, true),
            (far, false),
        ];
        for (at, (sequence, is_new)) in cases.into_iter().enumerate() {
            assert_eq!(window.accept(sequence), is_new, "case {at}: {sequence}");
        }
    }
}
