//! The prompts of a point: what is drawn for each request, and how it is written into a request body.

use std::io::Write as _;

use crate::numpy::NumpyRandom;

/// Ids that every model in use has, where nothing says how many there are.
pub(crate) const ASSUMED_VOCAB_SIZE: u32 = 32_000;

/// One request's prompt and the lengths that go with it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Prompt {
    pub(crate) text: PromptText,
    /// Length of the input in tokens.
    pub(crate) input_tokens: u32,
    /// Tokens to generate.
    pub(crate) output_tokens: u32,
}

/// What the server is given.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PromptText {
    /// Token ids, written out only when they are sent.
    Ids { runs: Box<[Run]>, vocab_size: u32 },
    /// Text, as a JSON string with its quotes.
    Json(Box<[u8]>),
}

/// Token ids at a fixed distance from one another, wrapping at the end of the vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Run {
    pub(crate) first: u32,
    pub(crate) stride: u32,
    pub(crate) length: u32,
}

impl Run {
    /// Consecutive ids.
    pub(crate) fn consecutive(first: u32, length: u32) -> Self {
        Self { first, stride: 1, length }
    }

    /// The ids themselves, of which there may be more than the run is long.
    pub(crate) fn ids(self, vocab_size: u32) -> impl Iterator<Item = u32> {
        let size = u64::from(vocab_size.max(1));
        let (stride, mut next) = (u64::from(self.stride) % size, u64::from(self.first) % size);
        std::iter::repeat_with(move || {
            let id = next;
            next += stride;
            if next >= size {
                next -= size;
            }
            u32::try_from(id).expect("an id is less than the vocabulary")
        })
    }
}

impl PromptText {
    pub(crate) fn from_text(text: &str) -> Self {
        let json = serde_json::to_vec(text).expect("any string can be written as JSON");
        Self::Json(json.into_boxed_slice())
    }

    /// Appends the prompt as a JSON value.
    pub(crate) fn write(&self, body: &mut Vec<u8>) {
        match self {
            Self::Json(json) => body.extend_from_slice(json),
            Self::Ids { runs, vocab_size } => {
                let mut separator = b'[';
                for run in runs {
                    for id in run.ids(*vocab_size).take(run.length as usize) {
                        body.push(separator);
                        write!(body, "{id}").expect("memory takes any number of bytes");
                        separator = b',';
                    }
                }
                body.push(b']');
            }
        }
    }
}

/// Lengths and first tokens of random prompts, drawn in the order in which sa-bench draws them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RandomDraws {
    pub(crate) input_lengths: Vec<u32>,
    pub(crate) output_lengths: Vec<u32>,
    pub(crate) offsets: Vec<u32>,
}

impl RandomDraws {
    pub(crate) fn draw(
        count: u32,
        input: u32,
        output: u32,
        range_ratio: f64,
        vocab_size: u32,
        random: &mut NumpyRandom,
    ) -> Self {
        let mut lengths = |longest: u32| -> Vec<u32> {
            let shortest = if longest <= 1 { longest } else { share(longest, range_ratio) };
            (0..count).map(|_| random.integer(shortest, longest)).collect()
        };
        let input_lengths = lengths(input);
        let output_lengths = lengths(output);
        let offsets = (0..count).map(|_| random.integer(0, vocab_size.saturating_sub(1))).collect();
        Self { input_lengths, output_lengths, offsets }
    }

    /// The first token id of prompt `index`.
    pub(crate) fn first_id(&self, index: usize, vocab_size: u32) -> u32 {
        let position = u64::try_from(index).unwrap_or_default();
        let first = (u64::from(self.offsets[index]) + position) % u64::from(vocab_size.max(1));
        u32::try_from(first).expect("a remainder is smaller than its divisor")
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a length is cut to a whole number, and `as` keeps it in range"
)]
pub(crate) fn share(longest: u32, ratio: f64) -> u32 {
    ((f64::from(longest) * ratio) as u32).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_wrap_at_the_end_of_the_vocabulary() {
        let mut body = Vec::new();
        let runs = [Run::consecutive(8, 4), Run { first: 1, stride: 7, length: 3 }];
        PromptText::Ids { runs: runs.into(), vocab_size: 10 }.write(&mut body);
        assert_eq!(String::from_utf8(body).unwrap(), "[8,9,0,1,1,8,5]");
    }

    #[test]
    fn a_text_is_written_as_a_json_string() {
        let mut body = Vec::new();
        PromptText::from_text("a\"\n").write(&mut body);
        assert_eq!(String::from_utf8(body).unwrap(), r#""a\"\n""#);
    }

    #[test]
    fn draws_are_those_of_sa_bench() {
        // np.random.seed(0); np.random.randint(8, 11, size=3), (16, 21, size=3), (0, 100, size=3)
        let draws = RandomDraws::draw(3, 10, 20, 0.8, 100, &mut NumpyRandom::new(0));
        assert_eq!(draws.input_lengths, [8, 9, 8]);
        assert_eq!(draws.output_lengths, [19, 19, 19]);
        assert_eq!(draws.offsets, [9, 83, 21]);
    }
}
