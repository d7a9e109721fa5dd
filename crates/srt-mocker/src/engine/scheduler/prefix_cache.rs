//! Which beginnings of prompts the KV cache still holds.

use std::collections::{HashSet, VecDeque};

use super::super::prompt::{BLOCK_TOKENS, Prompt};

/// Blocks of prompts seen before; when full, the one inserted first is forgotten.
#[derive(Debug)]
pub(super) struct PrefixCache {
    capacity_blocks: usize,
    blocks: HashSet<u64>,
    by_age: VecDeque<u64>,
}

impl PrefixCache {
    /// With a capacity of 0 it holds nothing.
    pub(super) fn new(capacity_tokens: u64) -> Self {
        let capacity_blocks =
            usize::try_from(capacity_tokens / u64::from(BLOCK_TOKENS)).unwrap_or(usize::MAX);
        Self { capacity_blocks, blocks: HashSet::new(), by_age: VecDeque::new() }
    }

    /// How many tokens at the beginning of this prompt are in the cache.
    pub(super) fn cached_tokens(&self, prompt: &Prompt) -> u32 {
        let blocks = prompt.blocks.iter().take_while(|block| self.blocks.contains(block)).count();
        u32::try_from(blocks).unwrap_or(u32::MAX).saturating_mul(BLOCK_TOKENS)
    }

    pub(super) fn insert(&mut self, prompt: &Prompt) {
        if self.capacity_blocks == 0 {
            return;
        }
        for block in &prompt.blocks {
            if !self.blocks.insert(*block) {
                continue;
            }
            self.by_age.push_back(*block);
            if self.by_age.len() > self.capacity_blocks
                && let Some(oldest) = self.by_age.pop_front()
            {
                self.blocks.remove(&oldest);
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.blocks.clear();
        self.by_age.clear();
    }
}
