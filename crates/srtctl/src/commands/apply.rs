//! `srtctl apply`: run a recipe.
