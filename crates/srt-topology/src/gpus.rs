//! [`GpuSet`]: which GPUs of a node.

use std::fmt;

/// GPU indices on one node, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct GpuSet(Vec<u32>);

impl GpuSet {
    /// `count` GPUs from index `first` on.
    pub fn range(first: u32, count: u32) -> Self {
        Self((first..first.saturating_add(count)).collect())
    }

    /// The indices, ascending.
    pub fn indices(&self) -> &[u32] {
        &self.0
    }

    /// Number of GPUs.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no GPU.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The GPUs that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(self.0.iter().copied().filter(|index| other.0.contains(index)).collect())
    }

    /// The indices joined by `separator`: `0,1,2` is a value of `CUDA_VISIBLE_DEVICES`.
    pub fn joined(&self, separator: &str) -> String {
        self.0.iter().map(u32::to_string).collect::<Vec<_>>().join(separator)
    }
}

/// `0-3,6`: for people.
impl fmt::Display for GpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, run) in self.0.chunk_by(|a, b| a + 1 == *b).enumerate() {
            let separator = if position == 0 { "" } else { "," };
            match run {
                [only] => write!(f, "{separator}{only}")?,
                [first, .., last] => write!(f, "{separator}{first}-{last}")?,
                [] => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::GpuSet;

    #[test]
    fn a_set_reads_as_runs_for_people_and_as_a_list_for_cuda() {
        let set = GpuSet(vec![0, 1, 2, 5, 7, 8]);
        assert_eq!(set.to_string(), "0-2,5,7-8");
        assert_eq!(set.joined(","), "0,1,2,5,7,8");
        assert_eq!(GpuSet::range(4, 4).intersection(&GpuSet::range(6, 4)).to_string(), "6-7");
        assert_eq!(GpuSet::default().to_string(), "");
    }
}
