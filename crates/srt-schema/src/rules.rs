//! Rules between fields.

use srt_yaml::{Decoder, Node};

use crate::sections::RecipeFile;

/// Checks what no field can check alone.
pub(crate) fn check(_file: &RecipeFile, _tree: &Node, _decoder: &mut Decoder<'_>) {}
